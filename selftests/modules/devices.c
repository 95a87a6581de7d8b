// SPDX-License-Identifier: GPL-2.0
/*
 * vtd_devices - devices that do DMA to a given address: QEMU's edu, which reads and writes
 * through its own buffer, iommu-testdev, which writes a fixed word, and the vtd-requester of
 * selftests/qemu. This file only drives them; vtd_attack and vtd_domain decide what they do.
 */
#include <linux/dma-mapping.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/iopoll.h>
#include <linux/module.h>

#include "devices.h"

#define EDU_DMA_SRC	0x80
#define EDU_DMA_DST	0x88
#define EDU_DMA_COUNT	0x90
#define EDU_DMA_CMD	0x98
#define EDU_CMD_RUN	BIT(0)
#define EDU_CMD_TO_HOST	BIT(1)
#define EDU_BUFFER	0x40000

/* edu waits 100 ms before every transfer. */
#define EDU_POLL_US	2000
#define EDU_TIMEOUT_US	(10 * USEC_PER_SEC)

static int edu_transfer(struct vtd_dma_device *d, u64 src, u64 dst, u32 len,
			u32 cmd)
{
	writeq(src, d->mmio + EDU_DMA_SRC);
	writeq(dst, d->mmio + EDU_DMA_DST);
	writeq(len, d->mmio + EDU_DMA_COUNT);
	writeq(cmd | EDU_CMD_RUN, d->mmio + EDU_DMA_CMD);
	return readl_poll_timeout(d->mmio + EDU_DMA_CMD, d->said,
				  !(d->said & EDU_CMD_RUN), EDU_POLL_US,
				  EDU_TIMEOUT_US);
}

static int edu_write(struct vtd_dma_device *d, dma_addr_t iova,
		     phys_addr_t phys, u32 len)
{
	return edu_transfer(d, EDU_BUFFER, iova, len, EDU_CMD_TO_HOST);
}

static int edu_read(struct vtd_dma_device *d, dma_addr_t iova, u32 len)
{
	return edu_transfer(d, iova, EDU_BUFFER, len, 0);
}

static const struct vtd_dma_ops edu_ops = {
	.name = "edu",
	.write = edu_write,
	.read = edu_read,
};

#define TESTDEV_FIRE	0x00
#define TESTDEV_IOVA_LO	0x04
#define TESTDEV_IOVA_HI	0x08
#define TESTDEV_LEN	0x0c
#define TESTDEV_RESULT	0x10
#define TESTDEV_ARM	0x14
#define TESTDEV_PHYS_LO	0x1c
#define TESTDEV_PHYS_HI	0x20
#define TESTDEV_BUSY	0xfffffffeu

static int testdev_write(struct vtd_dma_device *d, dma_addr_t iova,
			 phys_addr_t phys, u32 len)
{
	writel(lower_32_bits(iova), d->mmio + TESTDEV_IOVA_LO);
	writel(upper_32_bits(iova), d->mmio + TESTDEV_IOVA_HI);
	writel(lower_32_bits(phys), d->mmio + TESTDEV_PHYS_LO);
	writel(upper_32_bits(phys), d->mmio + TESTDEV_PHYS_HI);
	writel(len, d->mmio + TESTDEV_LEN);
	writel(1, d->mmio + TESTDEV_ARM);
	/* Reading this register is what starts the transfer. */
	readl(d->mmio + TESTDEV_FIRE);
	d->said = readl(d->mmio + TESTDEV_RESULT);
	return d->said == TESTDEV_BUSY ? -ETIMEDOUT : 0;
}

static const struct vtd_dma_ops testdev_ops = {
	.name = "iommu-testdev",
	.write = testdev_write,
};

#define REQUESTER_COMMAND	0x08
#define REQUESTER_STATUS	0x10
#define REQUESTER_ADDRESS	0x18
#define REQUESTER_FLAGS		0x30
#define REQUESTER_COUNT		0x38
#define REQUESTER_READ		1
#define REQUESTER_WRITE		2
#define REQUESTER_FOUR_BYTES	0x80

/* A write sends what the last read got. */
static int requester_transfer(struct vtd_dma_device *d, dma_addr_t iova, u64 command)
{
	writeq(iova, d->mmio + REQUESTER_ADDRESS);
	writeq(REQUESTER_FOUR_BYTES, d->mmio + REQUESTER_FLAGS);
	writeq(1, d->mmio + REQUESTER_COUNT);
	writeq(command, d->mmio + REQUESTER_COMMAND);
	d->said = readl(d->mmio + REQUESTER_STATUS);
	return 0;
}

static int requester_write(struct vtd_dma_device *d, dma_addr_t iova,
			   phys_addr_t phys, u32 len)
{
	return requester_transfer(d, iova, REQUESTER_WRITE);
}

static int requester_read(struct vtd_dma_device *d, dma_addr_t iova, u32 len)
{
	return requester_transfer(d, iova, REQUESTER_READ);
}

static const struct vtd_dma_ops requester_ops = {
	.name = "vtd-requester",
	.write = requester_write,
	.read = requester_read,
};

const struct pci_device_id vtd_dma_ids[] = {
	{ PCI_DEVICE(0x1234, 0x11e8), .driver_data = (kernel_ulong_t)&edu_ops },
	{ PCI_DEVICE(0x1b36, 0x0005),
	  .driver_data = (kernel_ulong_t)&testdev_ops },
	{ PCI_DEVICE(0x1b36, 0x00f0),
	  .driver_data = (kernel_ulong_t)&requester_ops },
	{ }
};
EXPORT_SYMBOL_GPL(vtd_dma_ids);

int vtd_dma_device_init(struct vtd_dma_device *d, struct pci_dev *pdev,
			const struct pci_device_id *id)
{
	int err;

	d->pdev = pdev;
	d->ops = (const struct vtd_dma_ops *)id->driver_data;
	err = pcim_enable_device(pdev);
	if (err)
		return err;
	d->mmio = pcim_iomap(pdev, 0, 0);
	if (!d->mmio)
		return -ENOMEM;
	return dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
}
EXPORT_SYMBOL_GPL(vtd_dma_device_init);

MODULE_DESCRIPTION("Devices that do DMA to a given address");
MODULE_LICENSE("GPL");
