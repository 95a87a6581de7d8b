/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Functions that Rust cannot call directly: inline functions and macros of the
 * kernel, and functions whose prototypes are in private headers of a subsystem.
 * The prefix differs from rust_helper_, which vmlinux exports.
 */
#ifndef _VTD_HELPERS_H
#define _VTD_HELPERS_H

#include <linux/device.h>
#include <linux/interrupt.h>
#include <linux/iommu.h>
#include <linux/irq.h>
#include <linux/irqdomain.h>
#include <linux/pci.h>
#include <linux/percpu.h>
#include <linux/spinlock.h>
#include <asm/hw_irq.h>

/*
 * drivers/iommu/iommu-pages.h: exported, but declared only there. helpers.c includes that header
 * if the kernel's sources are available, so that the compiler compares the prototypes.
 */
void *iommu_alloc_pages_node_sz(int nid, gfp_t gfp, size_t size);
void iommu_free_pages(void *virt);
void iommu_put_pages_list(struct iommu_pages_list *list);

void vtd_helper_pages_list_add(struct iommu_pages_list *list, void *virt);
phys_addr_t vtd_helper_virt_to_phys(void *virt);
unsigned long vtd_helper_direct_map_base(void);
void vtd_helper_flush_cache_range(void *virt, unsigned int size);

void vtd_helper_raw_spin_lock_init(raw_spinlock_t *lock, const char *name,
				   struct lock_class_key *key);
unsigned long vtd_helper_raw_spin_lock_irqsave(raw_spinlock_t *lock);
bool vtd_helper_raw_spin_trylock_irqsave(raw_spinlock_t *lock, unsigned long *flags);
void vtd_helper_raw_spin_unlock_irqrestore(raw_spinlock_t *lock, unsigned long flags);
void vtd_helper_raw_spin_assert_is_held(raw_spinlock_t *lock);

u64 __percpu *vtd_helper_alloc_counts(u32 count, gfp_t gfp);
void vtd_helper_free_counts(u64 __percpu *counts);
u64 vtd_helper_sum_count(u64 __percpu *counts, u32 index);

void vtd_helper_group_mutex_assert(struct device *dev);
void vtd_helper_trace_io_page_fault(struct device *dev, unsigned long iova,
				    bool write);

int vtd_helper_pxm_to_node(u32 pxm);
bool vtd_helper_node_online(int nid);

u64 vtd_helper_ktime_get_ns(void);
void vtd_helper_add_taint(void);
void vtd_helper_add_firmware_taint(void);
bool vtd_helper_has_system_ram(u64 start, u64 bytes);
bool vtd_helper_is_crash_kernel(void);
u32 vtd_helper_physical_bits(void);
ssize_t vtd_helper_read_file(const char *path, char *to, size_t size);

void *vtd_helper_dev_iommu_priv_get(struct device *dev);
bool vtd_helper_dev_is_pci(const struct device *dev);
void vtd_helper_announce_change(struct device *dev, char *variable);
struct pci_dev *vtd_helper_to_pci_dev(struct device *dev);
struct device *vtd_helper_pci_to_dev(struct pci_dev *pdev);
int vtd_helper_dev_to_node(struct device *dev);
bool vtd_helper_device_trylock(struct device *dev);
void vtd_helper_device_unlock(struct device *dev);

/* The properties of one device that a walk over requester-ID aliases or up the hierarchy needs. */
struct vtd_pci_properties {
	u16 requester;		/* bus << 8 | devfn */
	u16 vendor;
	u16 device;
	bool is_pcie;
	u8 pcie_type;
	bool is_bridge;
	bool is_virtfn;
	bool untrusted;
	bool xlate_root;	/* PCI_DEV_FLAGS_BRIDGE_XLATE_ROOT */
	bool bridge_no_alias;	/* PCI_DEV_FLAGS_PCI_BRIDGE_NO_ALIAS */
	bool pcie_bridge_alias;	/* PCI_DEV_FLAG_PCIE_BRIDGE_ALIAS */
	bool has_alias_mask;
	u32 class;
};

void vtd_helper_pci_properties(struct pci_dev *pdev,
			       struct vtd_pci_properties *properties);
struct pci_dev *vtd_helper_pci_bridge_above(struct pci_dev *pdev, u8 *bus);
const struct device *vtd_helper_pci_host_parent(const struct pci_dev *pdev);
const struct pci_dev *vtd_helper_pci_physfn(struct pci_dev *pdev);
bool vtd_helper_pci_alias_bit(struct pci_dev *pdev, unsigned int devfn);
u16 vtd_helper_pci_acs_cap(struct pci_dev *pdev);
int vtd_helper_pci_pm_get_if_active(struct pci_dev *pdev);
void vtd_helper_pci_pm_put(struct pci_dev *pdev);
bool vtd_helper_pci_is_removed(struct pci_dev *pdev);
u16 vtd_helper_pci_acs_offered(struct pci_dev *pdev);
bool vtd_helper_pci_is_external(struct pci_dev *pdev);

void vtd_helper_delayed_work_init(struct delayed_work *work, work_func_t run);
void vtd_helper_delayed_work_queue(struct delayed_work *work, unsigned int ms);

void vtd_helper_vector_message(struct irq_data *data, u32 *address_lo,
			       u32 *address_hi, u32 *message);
int vtd_helper_set_parent_affinity(struct irq_data *data,
				   const struct cpumask *mask, bool force);
struct fwnode_handle *vtd_helper_alloc_named_id_fwnode(const char *name, int id);
irqreturn_t vtd_helper_irq_handled(void);

/* ats.c */
u16 vtd_helper_pci_ats_cap(struct pci_dev *pdev);
u8 vtd_helper_pci_ats_stu(struct pci_dev *pdev);
bool vtd_helper_pci_ats_enabled(struct pci_dev *pdev);
bool vtd_helper_pci_ats_supported(struct pci_dev *pdev);
bool vtd_helper_pci_ats_required(struct pci_dev *pdev);
int vtd_helper_pci_prepare_ats(struct pci_dev *pdev, int shift);
int vtd_helper_pci_enable_ats(struct pci_dev *pdev, int shift);
void vtd_helper_pci_disable_ats(struct pci_dev *pdev);
bool vtd_helper_pci_is_gone(struct pci_dev *pdev);
bool vtd_helper_pci_set_ats_mark(struct pci_dev *pdev);
bool vtd_helper_pci_has_ats_mark(struct pci_dev *pdev);

/* msi.c */
struct irq_domain *vtd_helper_msi_create_parent(struct irq_domain_info *info, bool isolated);
struct pci_dev *vtd_helper_msi_requester(const struct irq_alloc_info *info);
void vtd_helper_msi_msg(struct msi_msg *msg, u32 address_lo, u32 data);
bool vtd_helper_apic_dest_mode_logical(void);
bool vtd_helper_x2apic_enabled(void);
void vtd_helper_leave_inherited_domain(struct pci_dev *pdev);
int vtd_helper_enter_msi_domain(struct pci_dev *pdev, struct irq_domain *domain);
int vtd_helper_leave_msi_domain(struct pci_dev *pdev, struct irq_domain *domain);
void vtd_helper_keep_loaded(void);
bool vtd_helper_has_msi_data(struct device *dev);

struct vtd_irq_description {
	char chip[32];
	char domain[32];
	char action[32];
	unsigned long hwirq;
	bool in_use;
};

bool vtd_helper_describe_irq(unsigned int irq, struct vtd_irq_description *to);

/* The layout of these structures differs between configurations and versions. */
typedef ssize_t (*vtd_device_attr_show)(struct device *dev, struct device_attribute *attr,
					char *buf);
typedef ssize_t (*vtd_device_attr_store)(struct device *dev, struct device_attribute *attr,
					 const char *buf, size_t count);
typedef ssize_t (*vtd_kobj_attr_show)(struct kobject *kobj, struct kobj_attribute *attr,
				      char *buf);
typedef ssize_t (*vtd_kobj_attr_store)(struct kobject *kobj, struct kobj_attribute *attr,
				       const char *buf, size_t count);

void vtd_helper_device_attr_init(struct device_attribute *attr, const char *name,
				 umode_t mode, vtd_device_attr_show show,
				 vtd_device_attr_store store);
void vtd_helper_kobj_attr_init(struct kobj_attribute *attr, const char *name, umode_t mode,
			       vtd_kobj_attr_show show, vtd_kobj_attr_store store);
int vtd_helper_iommu_sysfs_add(struct iommu_device *iommu,
			       const struct attribute_group **groups,
			       const char *name);

/* hold.c: references to memory of other owners. */
#define VTD_HOLD_HELD	0	/* held */
#define VTD_HOLD_SLAB	1	/* not: its owner frees objects, not pages */
#define VTD_HOLD_OTHER	2	/* not, for another reason */

/* The result: the memory of the folio and its order, if there is a reference. */
struct vtd_held {
	u64 start;
	u64 end;
	u32 order;
	u32 why;
};

struct folio *vtd_helper_folio_try_hold(u64 phys, struct vtd_held *held);
u64 vtd_helper_folios_put(struct folio **folios, u32 count);
bool vtd_helper_irqs_disabled(void);
u64 vtd_helper_totalram_pages(void);

/* parameters.c: the module parameters ignore= and rmrr=. */
const char *vtd_helper_ignore_parameter(void);
const char *vtd_helper_rmrr_parameter(void);

/* trace.h: what the trace events record, and the values of their fields. */
#define VTD_REQUEST_READ	0
#define VTD_REQUEST_WRITE	1
#define VTD_REQUEST_EXECUTE	2
#define VTD_REQUEST_ATOMIC	3
#define VTD_REQUEST_PAGE	4
#define VTD_REQUEST_INTERRUPT	5	/* the address is the index of its entry */
#define VTD_REQUEST_COMPATIBLE	6	/* an interrupt request that names no entry */

struct vtd_fault_event {
	u32 unit;
	u16 segment;
	u16 source;	/* the requester ID: bus << 8 | devfn */
	u8 request;
	u8 reason;
	u64 address;
	s32 pasid;	/* -1: none */
	u64 domain;	/* 0: none */
	u16 domain_id;
};

#define VTD_ATTACHED_BLOCKED	0
#define VTD_ATTACHED_IDENTITY	1
#define VTD_ATTACHED_DMA	2
#define VTD_ATTACHED_UNMANAGED	3

struct vtd_attach_event {
	u32 unit;
	s32 group;	/* -1: not known any more, or not yet */
	u8 from;
	u8 to;
	u64 domain;
	u16 domain_id;
};

#define VTD_REFUSED_NEIGHBOUR	0
#define VTD_REFUSED_RESERVED	1
#define VTD_REFUSED_OWNER	2
#define VTD_REFUSED_TABLES	3
#define VTD_REFUSED_DOMAIN_ID	4
#define VTD_REFUSED_UNIT	5

struct vtd_refuse_event {
	u32 unit;
	u8 from;
	u8 to;
	u8 why;
	s32 error;
};

#define VTD_CACHE_CONTEXT	0
#define VTD_CACHE_IOTLB		1
#define VTD_CACHE_INTERRUPT	2
#define VTD_CACHE_DEVICE_TLB	3
#define VTD_CACHE_PASID		4
#define VTD_CACHE_PASID_IOTLB	5

#define VTD_SCOPE_GLOBAL	0
#define VTD_SCOPE_DOMAIN	1
#define VTD_SCOPE_SELECTIVE	2
#define VTD_SCOPE_PASID		3

struct vtd_invalidate_event {
	u32 unit;
	u8 cache;
	u8 scope;
	u16 domain_id;
	u16 source;
	u32 pasid;
	u64 first;	/* an address, or the index of an interrupt entry */
	u8 order;	/* 2^order pages or entries */
	bool leaves_only;
	bool by_register;
};

/* bench.c: only for the bench module. */
unsigned long vtd_helper_local_irq_save(void);
void vtd_helper_local_irq_restore(unsigned long flags);
struct page *vtd_helper_virt_to_page(void *virt);
long vtd_helper_iommu_pages(void);

#endif
