// SPDX-License-Identifier: GPL-2.0
/*
 * The way in: QEMU's functions are looked up by name, and a new type is registered by a copy of
 * QEMU's own record of a similar type, the model, so that the record's layout need not be known.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>

#include "layout.h"
#include "qemu.h"
#include "requester.h"
#include "unit.h"

/* The first two words of a record are names; its one function is what initializes the class. */
enum { NAME, PARENT, SEARCHED = 13, COPIED = 16 };

/* The kind of initialization that QEMU runs when its own types are registered. */
#define INIT_AFTER_TYPES 0

struct qemu qemu;

#define COUNT (sizeof(qemu) / sizeof(void *))
#define FUNCTION(name) { #name, offsetof(struct qemu, name) }

static const struct {
	const char *name;
	size_t member;
} functions[COUNT] = {
	FUNCTION(register_module_init),
	FUNCTION(type_register_static),
	FUNCTION(object_class_by_name),
	FUNCTION(object_class_dynamic_cast),
	FUNCTION(object_class_property_add_str),
	FUNCTION(object_class_property_set_description),
	FUNCTION(object_get_typename),
	FUNCTION(object_dynamic_cast),
	FUNCTION(object_get_canonical_path),
	FUNCTION(object_property_get_int),
	FUNCTION(object_property_get_link),
	FUNCTION(object_resolve_path),
	FUNCTION(object_resolve_path_type),
	FUNCTION(object_resolve_path_component),
	FUNCTION(object_child_foreach),
	FUNCTION(qdev_get_machine),
	FUNCTION(x86_iommu_get_default),
	FUNCTION(pci_setup_iommu),
	FUNCTION(device_class_set_legacy_reset),
	FUNCTION(pcie_endpoint_cap_init),
	FUNCTION(pcie_cap_flr_init),
	FUNCTION(pcie_cap_flr_write_config),
	FUNCTION(pcie_ats_init),
	FUNCTION(pcie_pasid_init),
	FUNCTION(pcie_pri_init),
	FUNCTION(pcie_ats_enabled),
	FUNCTION(pcie_pasid_enabled),
	FUNCTION(pcie_pri_enabled),
	FUNCTION(pci_register_bar),
	FUNCTION(pci_default_read_config),
	FUNCTION(pci_default_write_config),
	FUNCTION(pci_host_config_write_common),
	FUNCTION(pci_requester_id),
	FUNCTION(msi_send_message),
	FUNCTION(pci_device_get_iommu_bus_devfn),
	FUNCTION(pci_device_iommu_address_space),
	FUNCTION(vtd_find_add_as),
	FUNCTION(pci_ats_request_translation),
	FUNCTION(pci_pri_request_page),
	FUNCTION(pci_iommu_init_iotlb_notifier),
	FUNCTION(pci_iommu_register_iotlb_notifier),
	FUNCTION(pci_iommu_unregister_iotlb_notifier),
	FUNCTION(pci_pri_register_notifier),
	FUNCTION(pci_pri_unregister_notifier),
	FUNCTION(address_space_memory),
	FUNCTION(address_space_rw),
	FUNCTION(memory_region_init_io),
	FUNCTION(memory_region_iommu_attrs_to_index),
	FUNCTION(memory_region_owner),
	FUNCTION(memory_region_set_address),
	FUNCTION(memory_region_dispatch_read),
	FUNCTION(memory_region_dispatch_write),
	FUNCTION(timer_init_full),
	FUNCTION(timer_mod_ns),
	FUNCTION(timer_del),
	FUNCTION(qemu_clock_get_ns),
	FUNCTION(qemu_log),
};

static void find_functions(void)
{
	for (size_t i = 0; i < COUNT; i++) {
		void *found = dlsym(RTLD_DEFAULT, functions[i].name);

		if (!found)
			unfit("the executable does not export the function %s", functions[i].name);
		memcpy((char *)&qemu + functions[i].member, &found, sizeof(found));
	}
}

static bool is_text(const void *address, const char *text)
{
	return is_data(address) && !strcmp(address, text);
}

static void **record_of(const char *name, const char *parent)
{
	size_t count;
	void **word = writable_data(&count), **end = word + count - COPIED;

	for (; word < end; word++)
		if (is_text(word[NAME], name) && is_text(word[PARENT], parent))
			return word;
	unfit("QEMU has no record of a type %s with the parent %s", name, parent);
}

static void *made;

/* The class is a copy of its parent's so far. */
static void class_init(void *class, const void *data)
{
	made = class;
}

void *type_register(const char *name, const char *parent, const char *model,
		    const char *model_parent)
{
	const void *record[COPIED];
	size_t init = 0;

	made = NULL;
	memcpy(record, record_of(model, model_parent), sizeof(record));
	for (size_t i = 0; i < SEARCHED; i++) {
		if (!is_code(record[i]))
			continue;
		if (init)
			unfit("QEMU's record of the type %s has more than one function", model);
		init = i;
	}
	if (!init)
		unfit("QEMU's record of the type %s has no function", model);
	record[NAME] = name;
	record[PARENT] = parent;
	record[init] = class_init;
	qemu.type_register_static(record);
	/* A class is made when it is first requested. */
	if (qemu.object_class_by_name(name) != made || !made)
		unfit("a copy of QEMU's record of the type %s makes no type", model);
	return made;
}

void add_property(void *class, const char *name, const char *text,
		  void (*set)(void *device, const char *value, void **errp))
{
	qemu.object_class_property_add_str(class, name, NULL, set);
	qemu.object_class_property_set_description(class, name, text);
}

static void add_types(void)
{
	unit_init();
	requester_init();
}

__attribute__((constructor)) static void enter(void)
{
	layout_init();
	find_functions();
	qemu.register_module_init(add_types, INIT_AFTER_TYPES);
}
