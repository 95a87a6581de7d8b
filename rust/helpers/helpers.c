// SPDX-License-Identifier: GPL-2.0
/*
 * See helpers.h. There is no logic here beyond one call, so that all logic to be
 * reviewed is in Rust.
 */
#include <linux/acpi.h>
#include <linux/cacheflush.h>
#include <linux/crash_dump.h>
#include <linux/fs.h>
#include <linux/ioport.h>
#include <linux/kernel.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/msi.h>
#include <linux/pm_runtime.h>
#include <linux/workqueue.h>
#include <linux/irq.h>
#include <linux/irqdomain.h>
#include <asm/apic.h>
#include <asm/hw_irq.h>
#include <asm/irqdomain.h>
#include <asm/msi.h>
#include <asm/processor.h>
#include <trace/events/iommu.h>
#include "helpers.h"
/* Not part of the header packages. If a prototype differs from ours, this does not compile. */
#if __has_include("iommu-pages.h")
#include "iommu-pages.h"
static_assert(offsetof(struct ioptdesc, iopt_freelist_elm) == offsetof(struct page, lru));
static_assert(sizeof(((struct ioptdesc *)0)->iopt_freelist_elm) == sizeof(struct list_head));
#endif

void vtd_helper_pages_list_add(struct iommu_pages_list *list, void *virt)
{
	/* struct ioptdesc overlays struct page; its list is at lru, see above. */
	list_add_tail(&virt_to_head_page(virt)->lru, &list->pages);
}

phys_addr_t vtd_helper_virt_to_phys(void *virt)
{
	return virt_to_phys(virt);
}

unsigned long vtd_helper_direct_map_base(void)
{
	return PAGE_OFFSET;
}

void vtd_helper_flush_cache_range(void *virt, unsigned int size)
{
	clflush_cache_range(virt, size);
}

void vtd_helper_raw_spin_lock_init(raw_spinlock_t *lock, const char *name,
				   struct lock_class_key *key)
{
#ifdef CONFIG_DEBUG_SPINLOCK
	__raw_spin_lock_init(lock, name, key, LD_WAIT_SPIN);
#else
	raw_spin_lock_init(lock);
#endif
}

unsigned long vtd_helper_raw_spin_lock_irqsave(raw_spinlock_t *lock)
{
	unsigned long flags;

	raw_spin_lock_irqsave(lock, flags);
	return flags;
}

bool vtd_helper_raw_spin_trylock_irqsave(raw_spinlock_t *lock, unsigned long *flags)
{
	return raw_spin_trylock_irqsave(lock, *flags);
}

void vtd_helper_raw_spin_unlock_irqrestore(raw_spinlock_t *lock, unsigned long flags)
{
	raw_spin_unlock_irqrestore(lock, flags);
}

u64 __percpu *vtd_helper_alloc_counts(u32 count, gfp_t gfp)
{
	return __alloc_percpu_gfp(count * sizeof(u64), sizeof(u64), gfp);
}

void vtd_helper_free_counts(u64 __percpu *counts)
{
	free_percpu(counts);
}

u64 vtd_helper_sum_count(u64 __percpu *counts, u32 index)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu_ptr(counts, cpu)[index]);
	return sum;
}

void vtd_helper_group_mutex_assert(struct device *dev)
{
	iommu_group_mutex_assert(dev);
}

void vtd_helper_trace_io_page_fault(struct device *dev, unsigned long iova,
				    bool write)
{
	trace_io_page_fault(dev, iova, write ? IOMMU_FAULT_WRITE : IOMMU_FAULT_READ);
}

int vtd_helper_pxm_to_node(u32 pxm)
{
#ifdef CONFIG_ACPI_NUMA
	return pxm < MAX_PXM_DOMAINS ? pxm_to_node(pxm) : NUMA_NO_NODE;
#else
	return NUMA_NO_NODE;
#endif
}

bool vtd_helper_node_online(int nid)
{
	return nid >= 0 && nid < MAX_NUMNODES && node_online(nid);
}

void vtd_helper_raw_spin_assert_is_held(raw_spinlock_t *lock)
{
	lockdep_assert_held(lock);
}

u64 vtd_helper_ktime_get_ns(void)
{
	return ktime_get_mono_fast_ns();
}

void vtd_helper_add_taint(void)
{
	add_taint(TAINT_USER, LOCKDEP_STILL_OK);
}

void vtd_helper_add_firmware_taint(void)
{
	add_taint(TAINT_FIRMWARE_WORKAROUND, LOCKDEP_STILL_OK);
}

bool vtd_helper_has_system_ram(u64 start, u64 bytes)
{
	return region_intersects(start, bytes, IORESOURCE_SYSTEM_RAM,
				 IORES_DESC_NONE) != REGION_DISJOINT;
}

bool vtd_helper_is_crash_kernel(void)
{
	return is_kdump_kernel();
}

u32 vtd_helper_physical_bits(void)
{
	return boot_cpu_data.x86_phys_bits;
}

ssize_t vtd_helper_read_file(const char *path, char *to, size_t size)
{
	struct file *file = filp_open(path, O_RDONLY, 0);
	loff_t at = 0;
	ssize_t done;

	if (IS_ERR(file))
		return PTR_ERR(file);
	done = kernel_read(file, to, size, &at);
	filp_close(file, NULL);
	return done;
}

void *vtd_helper_dev_iommu_priv_get(struct device *dev)
{
	return dev->iommu ? dev_iommu_priv_get(dev) : NULL;
}

bool vtd_helper_dev_is_pci(const struct device *dev)
{
	return dev_is_pci(dev);
}

/* Without memory no event is sent; the log says the same. */
void vtd_helper_announce_change(struct device *dev, char *variable)
{
	char *variables[2];

	variables[0] = variable;
	variables[1] = NULL;
	kobject_uevent_env(&dev->kobj, KOBJ_CHANGE, variables);
}

struct pci_dev *vtd_helper_to_pci_dev(struct device *dev)
{
	return to_pci_dev(dev);
}

struct device *vtd_helper_pci_to_dev(struct pci_dev *pdev)
{
	return &pdev->dev;
}

int vtd_helper_dev_to_node(struct device *dev)
{
	return dev_to_node(dev);
}

/*
 * Lockdep does not validate device locks, but records those that a task holds, and turns
 * itself off at 48 (MAX_LOCK_DEPTH). A detach holds the locks of all devices.
 */
bool vtd_helper_device_trylock(struct device *dev)
{
	bool taken;

	lockdep_off();
	taken = device_trylock(dev);
	lockdep_on();
	return taken;
}

void vtd_helper_device_unlock(struct device *dev)
{
	lockdep_off();
	device_unlock(dev);
	lockdep_on();
}

void vtd_helper_pci_properties(struct pci_dev *pdev,
			       struct vtd_pci_properties *properties)
{
	/* The flags that are read here are set when the device is found; others change later. */
	pci_dev_flags_t flags = data_race(pdev->dev_flags);
	/* So do other bits of this word. */
	bool is_virtfn = data_race((bool)pdev->is_virtfn);
	/* As is_virtfn. */
	bool untrusted = data_race((bool)pdev->untrusted);

	*properties = (struct vtd_pci_properties) {
		.requester = pci_dev_id(pdev),
		.vendor = pdev->vendor,
		.device = pdev->device,
		.is_pcie = pci_is_pcie(pdev),
		.pcie_type = pci_is_pcie(pdev) ? pci_pcie_type(pdev) : 0,
		.is_bridge = pci_is_bridge(pdev),
		.is_virtfn = is_virtfn,
		.untrusted = untrusted,
		.xlate_root = flags & PCI_DEV_FLAGS_BRIDGE_XLATE_ROOT,
		.bridge_no_alias = flags & PCI_DEV_FLAGS_PCI_BRIDGE_NO_ALIAS,
		.pcie_bridge_alias = flags & PCI_DEV_FLAG_PCIE_BRIDGE_ALIAS,
		.has_alias_mask = pdev->dma_alias_mask,
		.class = pdev->class,
	};
}

/* Returns NULL for a root bus, and for a bus that was created for virtual functions. */
struct pci_dev *vtd_helper_pci_bridge_above(struct pci_dev *pdev, u8 *bus)
{
	*bus = pdev->bus->number;
	return pci_dev_get(pdev->bus->self);
}

const struct device *vtd_helper_pci_host_parent(const struct pci_dev *pdev)
{
	return pdev->bus->bridge ? READ_ONCE(pdev->bus->bridge->parent) : NULL;
}

const struct pci_dev *vtd_helper_pci_physfn(struct pci_dev *pdev)
{
	return pci_physfn(pdev);
}

bool vtd_helper_pci_alias_bit(struct pci_dev *pdev, unsigned int devfn)
{
	return pdev->dma_alias_mask && test_bit(devfn, pdev->dma_alias_mask);
}

u16 vtd_helper_pci_acs_cap(struct pci_dev *pdev)
{
	return pdev->acs_cap;
}

/* 1: kept active; 0: suspended; negative: runtime power management is disabled. */
int vtd_helper_pci_pm_get_if_active(struct pci_dev *pdev)
{
	return pm_runtime_get_if_active(&pdev->dev);
}

void vtd_helper_pci_pm_put(struct pci_dev *pdev)
{
	pm_runtime_put(&pdev->dev);
}

bool vtd_helper_pci_is_removed(struct pci_dev *pdev)
{
	return !device_is_registered(&pdev->dev);
}

u16 vtd_helper_pci_acs_offered(struct pci_dev *pdev)
{
	return pdev->acs_capabilities;
}

bool vtd_helper_pci_is_external(struct pci_dev *pdev)
{
	/* Neither bit changes once the device was found; others of their words do. */
	return data_race(pdev->external_facing || pdev->untrusted);
}

void vtd_helper_delayed_work_init(struct delayed_work *work, work_func_t run)
{
	INIT_DELAYED_WORK(work, run);
}

void vtd_helper_delayed_work_queue(struct delayed_work *work, unsigned int ms)
{
	queue_delayed_work(system_freezable_power_efficient_wq, work,
			   msecs_to_jiffies(ms));
}

void vtd_helper_vector_message(struct irq_data *data, u32 *address_lo,
			       u32 *address_hi, u32 *message)
{
	struct irq_cfg *cfg = irqd_cfg(data);

	/*
	 * As __irq_msi_compose_msg() does for a remapping unit, which may use the
	 * upper half of the address for APIC IDs above 255.
	 */
	*address_lo = 0xfee00000 | ((cfg->dest_apicid & 0xff) << 12) |
		      (apic->dest_mode_logical ? BIT(2) : 0);
	*address_hi = cfg->dest_apicid & 0xffffff00;
	*message = cfg->vector;
}

int vtd_helper_set_parent_affinity(struct irq_data *data,
				   const struct cpumask *mask, bool force)
{
	struct irq_data *parent = data->parent_data;

	return parent->chip->irq_set_affinity(parent, mask, force);
}

struct fwnode_handle *vtd_helper_alloc_named_id_fwnode(const char *name, int id)
{
	return irq_domain_alloc_named_id_fwnode(name, id);
}

irqreturn_t vtd_helper_irq_handled(void)
{
	return IRQ_HANDLED;
}

void vtd_helper_device_attr_init(struct device_attribute *attr, const char *name,
				 umode_t mode, vtd_device_attr_show show,
				 vtd_device_attr_store store)
{
	sysfs_attr_init(&attr->attr);
	attr->attr.name = name;
	attr->attr.mode = mode;
	attr->show = show;
	attr->store = store;
}

void vtd_helper_kobj_attr_init(struct kobj_attribute *attr, const char *name, umode_t mode,
			       vtd_kobj_attr_show show, vtd_kobj_attr_store store)
{
	sysfs_attr_init(&attr->attr);
	attr->attr.name = name;
	attr->attr.mode = mode;
	attr->show = show;
	attr->store = store;
}

int vtd_helper_iommu_sysfs_add(struct iommu_device *iommu,
			       const struct attribute_group **groups,
			       const char *name)
{
	return iommu_device_sysfs_add(iommu, NULL, groups, "%s", name);
}
