// SPDX-License-Identifier: GPL-2.0
/*
 * vtd_forge - make a device send an interrupt request of its choice.
 *
 * User space writes "BDF ADDRESS DATA [TIMES]" to debugfs vtd_forge/run. QEMU's edu sends
 * the request as its MSI, and so with its own requester ID. iommu-testdev writes a fixed
 * word to the address; QEMU attributes that to 00:00.0.
 */
#include <linux/delay.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/pci.h>

#include "runfile.h"

#define EDU_RAISE	0x60
#define EDU_ACK		0x64

#define TESTDEV_FIRE	0x00
#define TESTDEV_IOVA_LO	0x04
#define TESTDEV_IOVA_HI	0x08
#define TESTDEV_LEN	0x0c
#define TESTDEV_ARM	0x14

static void send_msi(struct pci_dev *pdev, void __iomem *mmio, u32 address, u16 data,
		     int times)
{
	int msi = pdev->msi_cap;
	u32 old_address, old_data;
	u16 old_flags;

	pci_read_config_word(pdev, msi + PCI_MSI_FLAGS, &old_flags);
	pci_read_config_dword(pdev, msi + PCI_MSI_ADDRESS_LO, &old_address);
	pci_read_config_dword(pdev, msi + PCI_MSI_DATA_64, &old_data);

	pci_write_config_dword(pdev, msi + PCI_MSI_ADDRESS_LO, address);
	pci_write_config_dword(pdev, msi + PCI_MSI_DATA_64, data);
	pci_write_config_word(pdev, msi + PCI_MSI_FLAGS, old_flags | PCI_MSI_FLAGS_ENABLE);
	while (times--) {
		writel(1, mmio + EDU_RAISE);
		writel(1, mmio + EDU_ACK);
		/* The next one would not be recorded before the driver has read this one. */
		if (times)
			usleep_range(100, 200);
	}

	pci_write_config_word(pdev, msi + PCI_MSI_FLAGS, old_flags);
	pci_write_config_dword(pdev, msi + PCI_MSI_ADDRESS_LO, old_address);
	pci_write_config_dword(pdev, msi + PCI_MSI_DATA_64, old_data);
}

static void send_write(void __iomem *mmio, u32 address)
{
	writel(address, mmio + TESTDEV_IOVA_LO);
	writel(0, mmio + TESTDEV_IOVA_HI);
	writel(4, mmio + TESTDEV_LEN);
	writel(1, mmio + TESTDEV_ARM);
	/* Reading this register is what starts the transfer. */
	readl(mmio + TESTDEV_FIRE);
}

static int run(struct seq_buf *out, char *line)
{
	unsigned int domain, bus, slot, function, address, data;
	struct pci_dev *pdev;
	int times = 1, err = 0;
	void __iomem *mmio;

	if (sscanf(line, "%x:%x:%x.%x %x %x %d", &domain, &bus, &slot, &function, &address,
		   &data, &times) < 6)
		return -EINVAL;
	pdev = pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(slot, function));
	if (!pdev)
		return -ENODEV;
	pci_set_master(pdev);
	mmio = pci_iomap(pdev, 0, 0);
	if (!mmio)
		err = -ENOMEM;
	else if (pdev->device == 0x11e8 && pdev->msi_cap)
		send_msi(pdev, mmio, address, data, times);
	else if (pdev->device == 0x0005)
		send_write(mmio, address);
	else
		err = -EOPNOTSUPP;
	if (mmio)
		pci_iounmap(pdev, mmio);
	if (!err)
		seq_buf_printf(out, "%s sent %x to %x\n", pci_name(pdev), data, address);
	pci_dev_put(pdev);
	return err;
}

static char report[128];
DEFINE_RUNFILE(runs, report, run);

static struct dentry *root;

static int __init vtd_forge_init(void)
{
	root = debugfs_create_dir("vtd_forge", NULL);
	runfile_add(&runs, root);
	return 0;
}

static void __exit vtd_forge_exit(void)
{
	debugfs_remove_recursive(root);
}

module_init(vtd_forge_init);
module_exit(vtd_forge_exit);
MODULE_DESCRIPTION("Make a device send an interrupt request of its choice");
MODULE_LICENSE("GPL");
