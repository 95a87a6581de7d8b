// SPDX-License-Identifier: GPL-2.0
/*
 * vtd_inject_calls - replace functions of the kernel, and let one call fail.
 *
 * vtd_relinked.ko is vtd.ko, the same machine code. Its calls of those functions of the
 * kernel that can fail go to the functions here (testmodules.py renames the symbols).
 * Each does what the kernel's does, unless it is the one to fail.
 *
 * debugfs vtd_inject_calls/fail: write N, and the Nth such call from then on fails, from
 * any caller. Reading ends that, and returns how many more calls it would have taken (0:
 * it failed) and which function it was, or "-".
 *
 * debugfs vtd_inject_calls/delay: write "FUNCTION MS SKIP FAIL", and a call of FUNCTION
 * from a context that can sleep sleeps for MS milliseconds before it does its work, once,
 * after SKIP calls that do not; with FAIL 1 it then fails.
 *
 * debugfs vtd_inject_calls/busy: write "NAME MS", and the driver's next copy of this name,
 * of a driver or device, takes that long. It does not sleep.
 */
#include <linux/acpi.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/device/bus.h>
#include <linux/fs.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/iommu.h>
#include <linux/irqdomain.h>
#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/pci-ats.h>
#include <linux/percpu.h>
#include <linux/seq_file.h>
#include <linux/shrinker.h>
#include <linux/slab.h>

/* The kernel declares it for its own drivers only. */
void *iommu_alloc_pages_node_sz(int nid, gfp_t gfp, size_t size);

static atomic_t left;			/* 0: no call is to fail, or it has failed */
static const char *failed = "-";	/* the function that failed */
static struct dentry *root;
static char busy_name[32];
static unsigned int busy_ms;		/* 0: no copy is to be slow, or it was */

static struct {
	char function[64];
	unsigned int ms;		/* 0: no call is to be slow */
	int fail;
	atomic_t skip;
} delay;

/* Whether the call is to fail after its delay. */
static bool delayed(const char *function)
{
	unsigned int ms = READ_ONCE(delay.ms);

	if (!ms || strcmp(function, delay.function) || !in_task() || irqs_disabled())
		return false;
	if (atomic_dec_return(&delay.skip) >= 0 || cmpxchg(&delay.ms, ms, 0) != ms)
		return false;
	pr_info("vtd_inject_calls: %s: sleeps for %u ms\n", function, ms);
	msleep(ms);
	pr_info("vtd_inject_calls: %s: %s\n", function, delay.fail ? "fails" : "continues");
	return delay.fail;
}

static bool fails(const char *function)
{
	if (delayed(function))
		return true;
	if (atomic_read(&left) <= 0 || atomic_dec_return(&left))
		return false;
	WRITE_ONCE(failed, function);
	return true;
}

/* Called by vtd_relinked.ko alone, which has the prototypes of the kernel's. */
__diag_push();
__diag_ignore_all("-Wmissing-prototypes", "Their callers are not compiled against them");

/* STANDIN(what it returns when it fails, its type, name, parameters, arguments) */
#define STANDIN(error, type, name, params, args)		\
type vtd_inject_calls_##name params				\
{								\
	return fails(#name) ? (error) : name args;		\
}

STANDIN(NULL, struct resource *, __request_region,
	(struct resource *parent, resource_size_t start, resource_size_t n, const char *name,
	 int flags), (parent, start, n, name, flags))
EXPORT_SYMBOL_GPL(vtd_inject_calls___request_region);

STANDIN(NULL, void __iomem *, ioremap, (resource_size_t at, unsigned long size), (at, size))
EXPORT_SYMBOL_GPL(vtd_inject_calls_ioremap);

STANDIN(AE_NOT_FOUND, acpi_status, acpi_get_table,
	(char *signature, u32 instance, struct acpi_table_header **table),
	(signature, instance, table))
EXPORT_SYMBOL_GPL(vtd_inject_calls_acpi_get_table);

STANDIN(ERR_PTR(-EIO), struct file *, filp_open, (const char *name, int flags, umode_t mode),
	(name, flags, mode))
EXPORT_SYMBOL_GPL(vtd_inject_calls_filp_open);

STANDIN(-EIO, ssize_t, kernel_read, (struct file *file, void *to, size_t size, loff_t *at),
	(file, to, size, at))
EXPORT_SYMBOL_GPL(vtd_inject_calls_kernel_read);

STANDIN(PCIBIOS_DEVICE_NOT_FOUND, int, pci_read_config_word,
	(const struct pci_dev *dev, int where, u16 *value), (dev, where, value))
EXPORT_SYMBOL_GPL(vtd_inject_calls_pci_read_config_word);

STANDIN(PCIBIOS_DEVICE_NOT_FOUND, int, pci_read_config_dword,
	(const struct pci_dev *dev, int where, u32 *value), (dev, where, value))
EXPORT_SYMBOL_GPL(vtd_inject_calls_pci_read_config_dword);

STANDIN(PCIBIOS_DEVICE_NOT_FOUND, int, pci_write_config_word,
	(const struct pci_dev *dev, int where, u16 value), (dev, where, value))
EXPORT_SYMBOL_GPL(vtd_inject_calls_pci_write_config_word);

STANDIN(-EINVAL, int, pci_prepare_ats, (struct pci_dev *dev, int shift), (dev, shift))
EXPORT_SYMBOL_GPL(vtd_inject_calls_pci_prepare_ats);

STANDIN(-EINVAL, int, pci_enable_ats, (struct pci_dev *dev, int shift), (dev, shift))
EXPORT_SYMBOL_GPL(vtd_inject_calls_pci_enable_ats);

STANDIN(NULL, struct fwnode_handle *, __irq_domain_alloc_fwnode,
	(unsigned int type, int id, const char *name, phys_addr_t *pa,
	 struct fwnode_handle *parent), (type, id, name, pa, parent))
EXPORT_SYMBOL_GPL(vtd_inject_calls___irq_domain_alloc_fwnode);

STANDIN(ERR_PTR(-ENOMEM), struct irq_domain *, irq_domain_instantiate,
	(const struct irq_domain_info *info), (info))
EXPORT_SYMBOL_GPL(vtd_inject_calls_irq_domain_instantiate);

STANDIN(-ENOSPC, int, __irq_domain_alloc_irqs,
	(struct irq_domain *domain, int base, unsigned int count, int node, void *arg,
	 bool realloc, const struct irq_affinity_desc *affinity),
	(domain, base, count, node, arg, realloc, affinity))
EXPORT_SYMBOL_GPL(vtd_inject_calls___irq_domain_alloc_irqs);

STANDIN(-ENOSPC, int, irq_domain_alloc_irqs_parent,
	(struct irq_domain *domain, unsigned int base, unsigned int count, void *arg),
	(domain, base, count, arg))
EXPORT_SYMBOL_GPL(vtd_inject_calls_irq_domain_alloc_irqs_parent);

STANDIN(-EBUSY, int, request_threaded_irq,
	(unsigned int irq, irq_handler_t handler, irq_handler_t thread, unsigned long flags,
	 const char *name, void *dev), (irq, handler, thread, flags, name, dev))
EXPORT_SYMBOL_GPL(vtd_inject_calls_request_threaded_irq);

STANDIN(-EEXIST, int, bus_register_notifier,
	(const struct bus_type *bus, struct notifier_block *block), (bus, block))
EXPORT_SYMBOL_GPL(vtd_inject_calls_bus_register_notifier);

STANDIN(NULL, struct kobject *, kobject_create_and_add,
	(const char *name, struct kobject *parent), (name, parent))
EXPORT_SYMBOL_GPL(vtd_inject_calls_kobject_create_and_add);

STANDIN(-EEXIST, int, sysfs_create_group,
	(struct kobject *kobj, const struct attribute_group *group), (kobj, group))
EXPORT_SYMBOL_GPL(vtd_inject_calls_sysfs_create_group);

STANDIN(ERR_PTR(-EEXIST), struct dentry *, debugfs_create_dir,
	(const char *name, struct dentry *parent), (name, parent))
EXPORT_SYMBOL_GPL(vtd_inject_calls_debugfs_create_dir);

STANDIN(ERR_PTR(-ENOMEM), struct dentry *, debugfs_create_file_full,
	(const char *name, umode_t mode, struct dentry *parent, void *data, const void *aux,
	 const struct file_operations *fops), (name, mode, parent, data, aux, fops))
EXPORT_SYMBOL_GPL(vtd_inject_calls_debugfs_create_file_full);

STANDIN(-EBUSY, int, iommu_device_register,
	(struct iommu_device *iommu, const struct iommu_ops *ops, struct device *hwdev),
	(iommu, ops, hwdev))
EXPORT_SYMBOL_GPL(vtd_inject_calls_iommu_device_register);

STANDIN(ERR_PTR(-ENOMEM), struct iommu_group *, generic_device_group, (struct device *dev),
	(dev))
EXPORT_SYMBOL_GPL(vtd_inject_calls_generic_device_group);

STANDIN(ERR_PTR(-ENOMEM), struct iommu_group *, pci_device_group, (struct device *dev), (dev))
EXPORT_SYMBOL_GPL(vtd_inject_calls_pci_device_group);

STANDIN(-EIO, int, pci_enable_device, (struct pci_dev *dev), (dev))
EXPORT_SYMBOL_GPL(vtd_inject_calls_pci_enable_device);

STANDIN(false, bool, try_module_get, (struct module *mod), (mod))
EXPORT_SYMBOL_GPL(vtd_inject_calls_try_module_get);

STANDIN(NULL, void *, iommu_alloc_pages_node_sz, (int nid, gfp_t gfp, size_t size),
	(nid, gfp, size))
EXPORT_SYMBOL_GPL(vtd_inject_calls_iommu_alloc_pages_node_sz);

STANDIN(NULL, void __percpu *, pcpu_alloc_noprof,
	(size_t size, size_t align, bool reserved, gfp_t gfp), (size, align, reserved, gfp))
EXPORT_SYMBOL_GPL(vtd_inject_calls_pcpu_alloc_noprof);

/* Rust's allocators also call them to free, with a size of 0. */
#define STANDIN_REALLOC(name)							\
void *vtd_inject_calls_##name(const void *p, DECL_TOKEN_PARAMS(size, token),	\
			      unsigned long align, gfp_t flags, int nid)	\
{										\
	if (size && fails(#name))						\
		return NULL;							\
	return name(p, PASS_TOKEN_PARAMS(size, token), align, flags, nid);	\
}

STANDIN_REALLOC(krealloc_node_align_noprof)
EXPORT_SYMBOL_GPL(vtd_inject_calls_krealloc_node_align_noprof);

STANDIN_REALLOC(kvrealloc_node_align_noprof)
EXPORT_SYMBOL_GPL(vtd_inject_calls_kvrealloc_node_align_noprof);

int vtd_inject_calls_iommu_device_sysfs_add(struct iommu_device *iommu, struct device *parent,
					    const struct attribute_group **groups,
					    const char *fmt, ...)
{
	struct va_format name = { .fmt = fmt };
	va_list args;
	int err;

	if (fails("iommu_device_sysfs_add"))
		return -EEXIST;
	va_start(args, fmt);
	name.va = &args;
	err = iommu_device_sysfs_add(iommu, parent, groups, "%pV", &name);
	va_end(args);
	return err;
}
EXPORT_SYMBOL_GPL(vtd_inject_calls_iommu_device_sysfs_add);

struct shrinker *vtd_inject_calls_shrinker_alloc(unsigned int flags, const char *fmt, ...)
{
	struct va_format name = { .fmt = fmt };
	struct shrinker *shrinker;
	va_list args;

	if (fails("shrinker_alloc"))
		return NULL;
	va_start(args, fmt);
	name.va = &args;
	shrinker = shrinker_alloc(flags, "%pV", &name);
	va_end(args);
	return shrinker;
}
EXPORT_SYMBOL_GPL(vtd_inject_calls_shrinker_alloc);

/* The first call after the driver has copied a name. */
size_t vtd_inject_calls_strlen(const char *name)
{
	unsigned int ms = READ_ONCE(busy_ms);

	if (ms && !strcmp(name, busy_name) && cmpxchg(&busy_ms, ms, 0) == ms) {
		pr_info("vtd_inject_calls: busy with %s\n", busy_name);
		mdelay(ms);
		pr_info("vtd_inject_calls: done with %s\n", busy_name);
	}
	return strlen(name);
}
EXPORT_SYMBOL_GPL(vtd_inject_calls_strlen);

__diag_pop();

static ssize_t fail_write(struct file *file, const char __user *buf, size_t count, loff_t *pos)
{
	unsigned int nth;
	int err = kstrtouint_from_user(buf, count, 0, &nth);

	if (err)
		return err;
	failed = "-";
	atomic_set(&left, nth);
	return count;
}

static int fail_show(struct seq_file *m, void *unused)
{
	seq_printf(m, "%d %s\n", atomic_xchg(&left, 0), READ_ONCE(failed));
	return 0;
}
DEFINE_SHOW_STORE_ATTRIBUTE(fail);

static ssize_t delay_write(struct file *file, const char __user *buf, size_t count, loff_t *pos)
{
	char text[96] = {};
	unsigned int ms;
	int skip = 0;

	if (count >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, buf, count))
		return -EFAULT;
	WRITE_ONCE(delay.ms, 0);
	delay.fail = 0;
	if (sscanf(text, "%63s %u %d %d", delay.function, &ms, &skip, &delay.fail) < 2)
		return -EINVAL;
	atomic_set(&delay.skip, skip);
	WRITE_ONCE(delay.ms, ms);
	return count;
}

static const struct file_operations delay_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = delay_write,
};

static ssize_t busy_write(struct file *file, const char __user *buf, size_t count, loff_t *pos)
{
	char text[48] = {};
	unsigned int ms;

	if (count >= sizeof(text) || copy_from_user(text, buf, count))
		return -EFAULT;
	if (sscanf(text, "%31s %u", busy_name, &ms) != 2)
		return -EINVAL;
	WRITE_ONCE(busy_ms, ms);
	return count;
}

static const struct file_operations busy_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = busy_write,
};

static int __init vtd_inject_calls_init(void)
{
	root = debugfs_create_dir("vtd_inject_calls", NULL);
	debugfs_create_file("fail", 0600, root, NULL, &fail_fops);
	debugfs_create_file("delay", 0200, root, NULL, &delay_fops);
	debugfs_create_file("busy", 0200, root, NULL, &busy_fops);
	return 0;
}

static void __exit vtd_inject_calls_exit(void)
{
	debugfs_remove_recursive(root);
}

module_init(vtd_inject_calls_init);
module_exit(vtd_inject_calls_exit);
MODULE_DESCRIPTION("Let one step of vtd fail");
MODULE_LICENSE("GPL");
