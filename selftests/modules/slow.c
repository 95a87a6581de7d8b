// SPDX-License-Identifier: GPL-2.0
/*
 * vtd_slow - make a PCI device's removal slow at a chosen point.
 *
 * Parameters: device, its address; on, where the removal sleeps: "removed", among the
 * bus's notifications, after the driver's and before the IOMMU core's, or "devres", after
 * the device was taken off its bus and before any notification; ms, for how long.
 *
 * debugfs vtd_slow/remove: write 1, and the device is removed like by a driver that
 * creates and removes devices itself: without the lock of removals.
 */
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/device/bus.h>
#include <linux/module.h>
#include <linux/pci.h>

static char *device;
module_param(device, charp, 0444);
static char *on = "removed";
module_param(on, charp, 0444);
static unsigned int ms = 2000;
module_param(ms, uint, 0444);

static struct dentry *root;

static void be_slow(struct device *dev)
{
	pr_info("vtd_slow: %s: sleeps for %u ms\n", dev_name(dev), ms);
	msleep(ms);
	pr_info("vtd_slow: %s: continues\n", dev_name(dev));
}

static int notified(struct notifier_block *block, unsigned long action, void *data)
{
	struct device *dev = data;

	if (action == BUS_NOTIFY_REMOVED_DEVICE && !strcmp(on, "removed") &&
	    !strcmp(dev_name(dev), device))
		be_slow(dev);
	return NOTIFY_DONE;
}

/* vtd has INT_MAX, the IOMMU core 0. */
static struct notifier_block block = { .notifier_call = notified, .priority = 100 };

static void released(void *data)
{
	be_slow(data);
}

static struct pci_dev *find(void)
{
	struct device *dev = bus_find_device_by_name(&pci_bus_type, NULL, device);

	return dev ? to_pci_dev(dev) : NULL;
}

static int remove_set(void *unused, u64 value)
{
	struct pci_dev *pdev = find();

	if (!pdev)
		return -ENODEV;
	pci_stop_and_remove_bus_device(pdev);
	pci_dev_put(pdev);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(remove_fops, NULL, remove_set, "%llu\n");

static int __init vtd_slow_init(void)
{
	struct pci_dev *pdev;
	int err = 0;

	if (!device)
		return -EINVAL;
	if (!strcmp(on, "devres")) {
		pdev = find();
		if (!pdev)
			return -ENODEV;
		err = devm_add_action(&pdev->dev, released, &pdev->dev);
		pci_dev_put(pdev);
		if (err)
			return err;
	}
	err = bus_register_notifier(&pci_bus_type, &block);
	if (err)
		return err;
	root = debugfs_create_dir("vtd_slow", NULL);
	debugfs_create_file_unsafe("remove", 0200, root, NULL, &remove_fops);
	return 0;
}

static void __exit vtd_slow_exit(void)
{
	debugfs_remove_recursive(root);
	bus_unregister_notifier(&pci_bus_type, &block);
}

module_init(vtd_slow_init);
module_exit(vtd_slow_exit);
MODULE_DESCRIPTION("Make a PCI device's removal slow");
MODULE_LICENSE("GPL");
