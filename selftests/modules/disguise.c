// SPDX-License-Identifier: GPL-2.0
/*
 * vtd_disguise - give PCI functions the vendor, device and class of others. QEMU has
 * none of the chipsets that need special treatment. Removing the module restores the
 * functions' identity.
 *
 *	insmod vtd_disguise.ko as=0000:00:05.0/8086:1616/030000,...
 */
#include <linux/module.h>
#include <linux/pci.h>

#define MOST 4

static char *as[MOST];
static int count;
module_param_array(as, charp, &count, 0444);
MODULE_PARM_DESC(as, "SEGMENT:BUS:DEVICE.FUNCTION/VENDOR:DEVICE/CLASS, hexadecimal");

static struct {
	struct pci_dev *pdev;
	unsigned int class;
	unsigned short vendor, device;
} disguised[MOST];

static int disguise(int at, const char *text)
{
	unsigned int segment, bus, slot, function, vendor, device, class;
	struct pci_dev *pdev;

	if (sscanf(text, "%x:%x:%x.%x/%x:%x/%x", &segment, &bus, &slot, &function,
		   &vendor, &device, &class) != 7) {
		pr_err("as=%s is not FUNCTION/VENDOR:DEVICE/CLASS\n", text);
		return -EINVAL;
	}
	pdev = pci_get_domain_bus_and_slot(segment, bus, PCI_DEVFN(slot, function));
	if (!pdev) {
		pr_err("as=%s: there is no such function\n", text);
		return -ENODEV;
	}
	disguised[at].pdev = pdev;
	disguised[at].vendor = pdev->vendor;
	disguised[at].device = pdev->device;
	disguised[at].class = pdev->class;
	pdev->vendor = vendor;
	pdev->device = device;
	pdev->class = class;
	return 0;
}

static void undo(void)
{
	int at;

	for (at = 0; at < MOST; at++) {
		struct pci_dev *pdev = disguised[at].pdev;

		if (!pdev)
			continue;
		pdev->vendor = disguised[at].vendor;
		pdev->device = disguised[at].device;
		pdev->class = disguised[at].class;
		pci_dev_put(pdev);
	}
}

static int __init vtd_disguise_init(void)
{
	int at, err = 0;

	for (at = 0; at < count && !err; at++)
		err = disguise(at, as[at]);
	if (err)
		undo();
	return err;
}

static void __exit vtd_disguise_exit(void)
{
	undo();
}

module_init(vtd_disguise_init);
module_exit(vtd_disguise_exit);
MODULE_DESCRIPTION("Give PCI functions the identity of others");
MODULE_LICENSE("GPL");
