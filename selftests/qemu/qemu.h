/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The functions that this object uses of QEMU. It includes no header of QEMU, so a pointer to any
 * of QEMU's structures is a pointer to void. type.c finds each function by its name.
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

	/* The machine, its units and its buses */
	void *(*qdev_get_machine)(void);
	void *(*x86_iommu_get_default)(void);
	void (*pci_setup_iommu)(void *bus, const void *functions, void *unit);

	/* Regions of memory, and QEMU's log */
	void *(*memory_region_owner)(void *region);
	void (*memory_region_set_address)(void *region, uint64_t address);
	uint32_t (*memory_region_dispatch_read)(void *region, uint64_t at, uint64_t *value,
						int size_log2, uint64_t attributes);
	uint32_t (*memory_region_dispatch_write)(void *region, uint64_t at, uint64_t value,
						 int size_log2, uint64_t attributes);
	void (*qemu_log)(const char *format, ...);
};

extern struct qemu qemu;

#endif
