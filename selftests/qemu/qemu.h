/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The functions that this object uses of QEMU, and one variable. It includes no header of QEMU: a
 * pointer to any of QEMU's structures is a pointer to void. type.c finds each by its name.
 */
#ifndef VTD_QEMU_H
#define VTD_QEMU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct qemu {
	/* Types and objects */
	void (*register_module_init)(void (*init)(void), int kind);
	void *(*type_register_static)(const void *record);
	void *(*object_class_by_name)(const char *name);
	void *(*object_class_dynamic_cast)(void *class, const char *type);
	void *(*object_class_property_add_str)(void *class, const char *name,
					       char *(*get)(void *object, void **errp),
					       void (*set)(void *object, const char *value,
							   void **errp));
	void (*object_class_property_set_description)(void *class, const char *name,
						      const char *text);
	const char *(*object_get_typename)(void *object);
	void *(*object_dynamic_cast)(void *object, const char *type);
	char *(*object_get_canonical_path)(void *object);
	int64_t (*object_property_get_int)(void *object, const char *name, void **errp);
	void *(*object_property_get_link)(void *object, const char *name, void **errp);
	void *(*object_resolve_path)(const char *path, bool *ambiguous);
	void *(*object_resolve_path_type)(const char *path, const char *type, bool *ambiguous);
	void *(*object_resolve_path_component)(void *parent, const char *name);
	int (*object_child_foreach)(void *parent, int (*visit)(void *child, void *data),
				    void *data);

	/* The machine, its units and its buses */
	void *(*qdev_get_machine)(void);
	void *(*x86_iommu_get_default)(void);
	void (*pci_setup_iommu)(void *bus, const void *functions, void *unit);

	/* Devices on PCI Express */
	void (*device_class_set_legacy_reset)(void *class, void (*reset)(void *device));
	int (*pcie_endpoint_cap_init)(void *device, uint8_t at);
	void (*pcie_cap_flr_init)(void *device);
	void (*pcie_cap_flr_write_config)(void *device, uint32_t at, uint32_t value, int size);
	void (*pcie_ats_init)(void *device, uint16_t at, bool aligned);
	void (*pcie_pasid_init)(void *device, uint16_t at, uint8_t bits, bool execute,
				bool privileged);
	void (*pcie_pri_init)(void *device, uint16_t at, uint32_t outstanding, bool with_pasid);
	bool (*pcie_ats_enabled)(void *device);
	bool (*pcie_pasid_enabled)(void *device);
	bool (*pcie_pri_enabled)(void *device);
	void (*pci_register_bar)(void *device, int number, uint8_t type, void *region);
	uint32_t (*pci_default_read_config)(void *device, uint32_t at, int size);
	void (*pci_default_write_config)(void *device, uint32_t at, uint32_t value, int size);
	void (*pci_host_config_write_common)(void *device, uint32_t at, uint32_t limit,
					     uint32_t value, uint32_t size);
	uint16_t (*pci_requester_id)(void *device);
	void (*msi_send_message)(void *device, uint64_t address, uint32_t data);

	/* What a device requests of its unit, and is notified of */
	void (*pci_device_get_iommu_bus_devfn)(void *device, void **iommu_bus, void **bus,
					       int *devfn);
	void *(*pci_device_iommu_address_space)(void *device);
	void *(*vtd_find_add_as)(void *unit, void *bus, int devfn, uint32_t pasid);
	ptrdiff_t (*pci_ats_request_translation)(void *device, uint32_t pasid, bool privileged,
						 bool execute, uint64_t address, size_t length,
						 bool no_write, void *result, size_t results,
						 uint32_t *errors);
	int (*pci_pri_request_page)(void *device, uint32_t pasid, bool privileged, bool execute,
				    uint64_t address, bool last, uint16_t group, bool read,
				    bool write);
	int (*pci_iommu_init_iotlb_notifier)(void *device, void *notifier,
					     void (*notify)(void *notifier, void *entry),
					     void *data);
	int (*pci_iommu_register_iotlb_notifier)(void *device, uint32_t pasid, void *notifier);
	int (*pci_iommu_unregister_iotlb_notifier)(void *device, uint32_t pasid, void *notifier);
	int (*pci_pri_register_notifier)(void *device, uint32_t pasid, void *notifier);
	void (*pci_pri_unregister_notifier)(void *device, uint32_t pasid);

	/* Regions of memory, the clock, and QEMU's log */
	void *address_space_memory;
	uint32_t (*address_space_rw)(void *space, uint64_t at, uint64_t attributes, void *data,
				     uint64_t size, bool write);
	void (*memory_region_init_io)(void *region, void *owner, const void *functions,
				      void *data, const char *name, uint64_t size);
	int (*memory_region_iommu_attrs_to_index)(void *region, uint64_t attributes);
	void *(*memory_region_owner)(void *region);
	void (*memory_region_set_address)(void *region, uint64_t address);
	uint32_t (*memory_region_dispatch_read)(void *region, uint64_t at, uint64_t *value,
						int size_log2, uint64_t attributes);
	uint32_t (*memory_region_dispatch_write)(void *region, uint64_t at, uint64_t value,
						 int size_log2, uint64_t attributes);
	void (*timer_init_full)(void *timer, void *group, int clock, int scale, int attributes,
				void (*expired)(void *data), void *data);
	void (*timer_mod_ns)(void *timer, int64_t time);
	void (*timer_del)(void *timer);
	int64_t (*qemu_clock_get_ns)(int clock);
	void (*qemu_log)(const char *format, ...);
};

extern struct qemu qemu;

#endif
