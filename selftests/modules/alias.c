// SPDX-License-Identifier: GPL-2.0
/*
 * vtd_alias - give a device another requester ID on its bus, as the kernel's quirks do
 * for devices that send requests as a function that they do not have. Load it before
 * vtd, which reads requester IDs when it probes a device. The requester ID stays until
 * the device is removed.
 */
#include <linux/bitmap.h>
#include <linux/module.h>
#include <linux/pci.h>

/* drivers/pci/pci.h declares it, for the PCI core only. */
#define FUNCTIONS_OF_A_BUS 256

static ushort device;
module_param(device, ushort, 0444);
MODULE_PARM_DESC(device, "bus, device and function of the device, as one number");

static ushort alias;
module_param(alias, ushort, 0444);
MODULE_PARM_DESC(alias, "device and function of the requester ID, as one number below 256");

static int __init vtd_alias_init(void)
{
	struct pci_dev *pdev = pci_get_domain_bus_and_slot(0, device >> 8, device & 0xff);
	int err = 0;

	if (!pdev || alias >= FUNCTIONS_OF_A_BUS) {
		pr_err("no device=%#x, or alias=%#x is not below 256\n", device, alias);
		pci_dev_put(pdev);
		return -ENODEV;
	}
	/* pci_add_dma_alias() is not exported. */
	if (!pdev->dma_alias_mask)
		pdev->dma_alias_mask = bitmap_zalloc(FUNCTIONS_OF_A_BUS, GFP_KERNEL);
	if (pdev->dma_alias_mask)
		set_bit(alias, pdev->dma_alias_mask);
	else
		err = -ENOMEM;
	pci_dev_put(pdev);
	return err;
}

/* A module without an exit function cannot be removed. */
static void __exit vtd_alias_exit(void)
{
}

module_init(vtd_alias_init);
module_exit(vtd_alias_exit);
MODULE_DESCRIPTION("Give a device another requester ID");
MODULE_LICENSE("GPL");
