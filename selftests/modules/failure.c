// SPDX-License-Identifier: GPL-2.0
/*
 * vtd_failure - let one allocation fail inside a load of vtd, or inside the
 * probe of a new PCI device by the IOMMU core.
 *
 * Allocations of the module loader and of the PCI core never fail: counting begins when
 * the module is about to be initialised, or when the device is announced on its bus.
 * debugfs vtd_failure/{load,probe}: write the number of the allocation that is to fail
 * next time; read how many more it would have taken (0: it failed), or "waiting".
 */
#include <linux/debugfs.h>
#include <linux/device/bus.h>
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/pci.h>
#include <linux/seq_file.h>

#include "nth.h"

/* An occasion at which an allocation is to fail. */
struct occasion {
	unsigned int nth;	/* which one; 0: none */
	unsigned int left;
	bool waiting;		/* it has not begun yet */
	bool armed;		/* it is in progress */
};

static struct occasion load, probe;
static struct dentry *root;

static void begin(struct occasion *o)
{
	if (!o->nth || !o->waiting)
		return;
	o->armed = true;
	nth_arm(o->nth);
}

static void end(struct occasion *o)
{
	if (!o->armed)
		return;
	o->left = nth_disarm();
	o->armed = false;
	o->waiting = false;
	o->nth = 0;
}

static int on_coming(struct notifier_block *nb, unsigned long state, void *data)
{
	struct module *mod = data;

	if (state == MODULE_STATE_COMING && !strcmp(mod->name, "vtd"))
		begin(&load);
	return NOTIFY_DONE;
}

static int on_come(struct notifier_block *nb, unsigned long state, void *data)
{
	struct module *mod = data;

	if (state != MODULE_STATE_COMING && !strcmp(mod->name, "vtd"))
		end(&load);
	return NOTIFY_DONE;
}

/* Called last when a device is added, first when it was added or is removed. */
static struct notifier_block module_last = { .notifier_call = on_coming, .priority = INT_MIN };
static struct notifier_block module_first = { .notifier_call = on_come, .priority = INT_MAX };

static int before_probe(struct notifier_block *nb, unsigned long action, void *data)
{
	if (action == BUS_NOTIFY_ADD_DEVICE)
		begin(&probe);
	return NOTIFY_DONE;
}

static int after_probe(struct notifier_block *nb, unsigned long action, void *data)
{
	if (action == BUS_NOTIFY_ADD_DEVICE)
		end(&probe);
	return NOTIFY_DONE;
}

static struct notifier_block bus_first = { .notifier_call = before_probe, .priority = INT_MAX };
static struct notifier_block bus_last = { .notifier_call = after_probe, .priority = INT_MIN };

static ssize_t occasion_write(struct file *file, const char __user *buf,
			      size_t count, loff_t *pos)
{
	struct occasion *o = ((struct seq_file *)file->private_data)->private;
	int err;

	err = kstrtouint_from_user(buf, count, 0, &o->nth);
	if (err)
		return err;
	o->waiting = true;
	return count;
}

static int occasion_show(struct seq_file *m, void *unused)
{
	struct occasion *o = m->private;

	if (o->waiting)
		seq_puts(m, "waiting\n");
	else
		seq_printf(m, "%u\n", o->left);
	return 0;
}
DEFINE_SHOW_STORE_ATTRIBUTE(occasion);

static int __init vtd_failure_init(void)
{
	int err;

	err = register_module_notifier(&module_last);
	if (err)
		return err;
	err = register_module_notifier(&module_first);
	if (err)
		goto no_module;
	err = bus_register_notifier(&pci_bus_type, &bus_first);
	if (err)
		goto no_first;
	err = bus_register_notifier(&pci_bus_type, &bus_last);
	if (err)
		goto no_last;
	root = debugfs_create_dir("vtd_failure", NULL);
	debugfs_create_file("load", 0600, root, &load, &occasion_fops);
	debugfs_create_file("probe", 0600, root, &probe, &occasion_fops);
	return 0;

no_last:
	bus_unregister_notifier(&pci_bus_type, &bus_first);
no_first:
	unregister_module_notifier(&module_first);
no_module:
	unregister_module_notifier(&module_last);
	return err;
}

static void __exit vtd_failure_exit(void)
{
	debugfs_remove_recursive(root);
	bus_unregister_notifier(&pci_bus_type, &bus_last);
	bus_unregister_notifier(&pci_bus_type, &bus_first);
	unregister_module_notifier(&module_first);
	unregister_module_notifier(&module_last);
}

module_init(vtd_failure_init);
module_exit(vtd_failure_exit);
MODULE_DESCRIPTION("Let an allocation fail during a load of vtd or a probe");
MODULE_LICENSE("GPL");
