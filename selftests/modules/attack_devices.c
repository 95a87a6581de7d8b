// SPDX-License-Identifier: GPL-2.0
/*
 * The two devices of vtd_attack: QEMU's edu, which reads and writes through a
 * buffer of its own, and iommu-testdev, which writes a fixed word.
 */
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/iopoll.h>
#include <linux/mm.h>

#include "vtd_attack.h"

#define EDU_DMA_SRC	0x80
#define EDU_DMA_DST	0x88
#define EDU_DMA_COUNT	0x90
#define EDU_DMA_CMD	0x98
#define EDU_CMD_RUN	BIT(0)
#define EDU_CMD_TO_HOST	BIT(1)
#define EDU_BUFFER	0x40000

/* edu waits 100 ms of its own before every transfer. */
#define EDU_POLL_US	2000
#define EDU_TIMEOUT_US	(10 * USEC_PER_SEC)

/* What edu's buffer holds before a scenario: anything but the secret. */
#define EDU_PRIMER	0xa77ac0deu

static int edu_transfer(struct vtd_attack *a, u64 src, u64 dst, u32 len, u32 cmd)
{
	writeq(src, a->mmio + EDU_DMA_SRC);
	writeq(dst, a->mmio + EDU_DMA_DST);
	writeq(len, a->mmio + EDU_DMA_COUNT);
	writeq(cmd | EDU_CMD_RUN, a->mmio + EDU_DMA_CMD);
	return readl_poll_timeout(a->mmio + EDU_DMA_CMD, a->said,
				  !(a->said & EDU_CMD_RUN), EDU_POLL_US,
				  EDU_TIMEOUT_US);
}

static int edu_write(struct vtd_attack *a, dma_addr_t iova, phys_addr_t phys,
		     u32 len)
{
	return edu_transfer(a, EDU_BUFFER, iova, len, EDU_CMD_TO_HOST);
}

static int edu_read(struct vtd_attack *a, dma_addr_t iova, u32 len)
{
	return edu_transfer(a, iova, EDU_BUFFER, len, 0);
}

static int edu_prime(struct vtd_attack *a)
{
	WRITE_ONCE(*(u32 *)page_address(a->bench), EDU_PRIMER);
	return edu_read(a, a->bench_iova, sizeof(u32));
}

const struct vtd_attack_ops vtd_attack_edu = {
	.name = "edu",
	.prime = edu_prime,
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

static int testdev_prime(struct vtd_attack *a)
{
	return 0;
}

static int testdev_write(struct vtd_attack *a, dma_addr_t iova,
			 phys_addr_t phys, u32 len)
{
	writel(lower_32_bits(iova), a->mmio + TESTDEV_IOVA_LO);
	writel(upper_32_bits(iova), a->mmio + TESTDEV_IOVA_HI);
	writel(lower_32_bits(phys), a->mmio + TESTDEV_PHYS_LO);
	writel(upper_32_bits(phys), a->mmio + TESTDEV_PHYS_HI);
	writel(len, a->mmio + TESTDEV_LEN);
	writel(1, a->mmio + TESTDEV_ARM);
	readl(a->mmio + TESTDEV_FIRE);
	a->said = readl(a->mmio + TESTDEV_RESULT);
	return a->said == TESTDEV_BUSY ? -ETIMEDOUT : 0;
}

const struct vtd_attack_ops vtd_attack_testdev = {
	.name = "iommu-testdev",
	.prime = testdev_prime,
	.write = testdev_write,
};
