// SPDX-License-Identifier: GPL-2.0
/*
 * The device type vtd-unit: QEMU's intel-iommu once more, with its own registers at `base`, and of
 * the machine only what `scope` names. All else stays with the first unit, also the I/O APIC.
 *
 * QEMU's unit takes the machine's bus and I/O APIC when it is realized, and its machine accepts one
 * unit. So the word by which the machine knows its unit is cleared while another one is made, and
 * what that one took is restored.
 */
#include <stdlib.h>
#include <string.h>

#include "layout.h"
#include "qemu.h"
#include "unit.h"

#define TYPE "vtd-unit"
#define PAGE 4096

static struct unit units[UNITS], *first;
static size_t count;
static void **machine_unit;
static void (*realize_as_qemu)(void *device, void **errp);

struct unit *unit_at(size_t index)
{
	return index < count ? &units[index] : NULL;
}

struct unit *unit_of(void *device)
{
	for (size_t i = 0; i < count; i++)
		if (units[i].device == device)
			return &units[i];
	if (count == UNITS)
		usage("there are at most %d units", UNITS);
	units[count].device = device;
	return &units[count++];
}

static void set_base(void *device, const char *value, void **errp)
{
	char *end;
	uint64_t base = strtoull(value, &end, 0);

	if (!base || base % PAGE || *end)
		usage("base=%s is no address of a page", value);
	for (size_t i = 0; i < count; i++)
		if (units[i].base == base)
			usage("base=%s is the base of two units", value);
	unit_of(device)->base = base;
}

static void set_scope(void *device, const char *value, void **errp)
{
	if (!first)
		usage("intel-iommu, the first unit, has to come before vtd-unit");
	unit_of(device)->scope = strdup(value);
	*machine_unit = NULL;
}

static void realize_first(struct unit *unit, void **errp)
{
	realize_as_qemu(unit->device, errp);
	if (*errp)
		return;
	if (qemu.x86_iommu_get_default() != unit->device)
		unfit("the machine's unit is not the one that was made");
	machine_unit = only_word(qemu.qdev_get_machine(), unit->device, "the machine");
	unit->base = FIRST_BASE;
	first = unit;
	registers_open(unit);
	scope_init(first);
}

/* One word of the machine is changed, for the I/O APIC. A small number is a count of users. */
static void restore(void **machine, void **before, size_t words)
{
	unsigned int changed = 0;

	for (size_t i = 0; i < words; i++) {
		if (machine[i] == before[i] || (uintptr_t)machine[i] < PAGE)
			continue;
		machine[i] = before[i];
		changed++;
	}
	free(before);
	if (changed != 1)
		unfit("a unit changes %u words of the machine, not one", changed);
	if (qemu.x86_iommu_get_default() != first->device)
		unfit("the machine's unit is no longer the first one");
}

static void realize_further(struct unit *unit, void **errp)
{
	void **machine = qemu.qdev_get_machine(), **machine_before;
	size_t words = words_of(machine);
	uint64_t *data_before;

	if (!unit->scope || !unit->base)
		usage("a vtd-unit needs scope= and base=");
	masks_init();
	*machine_unit = first->device;
	machine_before = malloc(words * sizeof(*machine_before));
	if (!machine_before)
		unfit("no memory for a copy of the machine");
	memcpy(machine_before, machine, words * sizeof(*machine_before));
	data_before = masks_before();
	realize_as_qemu(unit->device, errp);
	if (*errp)
		return;
	masks_after(data_before, unit);
	restore(machine, machine_before, words);
	registers_open(unit);
	scope_take(unit, first);
}

static void realize(void *device, void **errp)
{
	if (strcmp(qemu.object_get_typename(device), TYPE))
		realize_first(unit_of(device), errp);
	else
		realize_further(unit_of(device), errp);
}

/* It is the only function that both kinds of units have from x86-iommu, and not from its parent. */
static void **find_realize(void **class)
{
	void **other = qemu.object_class_by_name("amd-iommu");
	void **parent = qemu.object_class_by_name("sys-bus-device"), **found = NULL;

	if (!other || !parent)
		unfit("QEMU has no class amd-iommu or sys-bus-device");
	for (size_t i = 0; i < words_of(parent); i++) {
		if (!is_code(class[i]) || class[i] != other[i] || !is_code(parent[i]) ||
		    class[i] == parent[i])
			continue;
		if (found)
			unfit("the class intel-iommu has more than one function like realize");
		found = &class[i];
	}
	if (!found)
		unfit("the class intel-iommu has no function like realize");
	return found;
}

void unit_init(void)
{
	void **class = qemu.object_class_by_name("intel-iommu"), **place, *further;

	if (!class)
		unfit("QEMU has no class intel-iommu yet when it runs this object");
	place = find_realize(class);
	realize_as_qemu = *place;
	*place = realize;
	registers_init(class);
	further = type_register(TYPE, "intel-iommu", "intel-iommu", "x86-iommu");
	add_property(further, "base", "address of its registers", set_base);
	add_property(further, "scope", "root buses by id and functions of pcie.0 by slot, with /",
		     set_scope);
}
