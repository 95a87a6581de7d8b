// SPDX-License-Identifier: GPL-2.0
/*
 * Which unit serves a device. A scope has, with '/' between them, root buses by the id of their
 * pxb-pcie, and functions of pcie.0 by slot, as "05.0". A bridge is meant with all that is below.
 *
 * QEMU takes a table of functions and a unit from the nearest bus above a device that has them. A
 * root bus gets those of its unit. pcie.0 is found for all of its functions, so its table looks at
 * the device, and calls QEMU's function for the right unit. QEMU's functions have the parameters
 * (bus, unit, devfn, ...) or (unit, ...); which of them is where in the table does not matter.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layout.h"
#include "qemu.h"
#include "unit.h"

enum { FUNCTIONS = 16, DEVFNS = 256 };

static void *pcie0;
static void **place;			/* the words of pcie.0: table of functions, unit */
static void **functions;		/* QEMU's */
static void *owner[DEVFNS];		/* units by function of pcie.0; NULL is the first */
static bool split;

/* Returns the devfn of the function of pcie.0 that a device is or is below, or -1. */
static int devfn_on_pcie0(void *bus, int devfn)
{
	while (bus != pcie0) {
		char *path = qemu.object_get_canonical_path(bus);
		char *end = path ? strrchr(path, '/') : NULL;
		void *bridge = NULL;

		if (end) {
			*end = 0;
			bridge = qemu.object_resolve_path(path, NULL);
		}
		free(path);
		if (!bridge || !qemu.object_dynamic_cast(bridge, "pci-device"))
			return -1;
		devfn = (int)qemu.object_property_get_int(bridge, "addr", NULL);
		bus = qemu.object_property_get_link(bridge, "parent_bus", NULL);
		if (!bus)
			return -1;
	}
	return devfn >= 0 && devfn < DEVFNS ? devfn : -1;
}

static uintptr_t unit_for(uintptr_t bus, uintptr_t unit, uintptr_t devfn)
{
	int on_pcie0;

	if (!qemu.object_dynamic_cast((void *)bus, "PCI"))
		return unit;
	on_pcie0 = devfn_on_pcie0((void *)bus, (int)devfn);
	return on_pcie0 >= 0 && owner[on_pcie0] ? (uintptr_t)owner[on_pcie0] : unit;
}

/* None of QEMU's functions has more than twelve words as parameters. */
#define WORDS uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f,	\
	uintptr_t g, uintptr_t h, uintptr_t i, uintptr_t j, uintptr_t k, uintptr_t l

#define FUNCTION(n)									\
static uintptr_t function##n(WORDS)							\
{											\
	uintptr_t (*as_qemu)(WORDS) = functions[n];					\
											\
	return as_qemu(a, unit_for(a, b, c), c, d, e, f, g, h, i, j, k, l);		\
}

FUNCTION(0)
FUNCTION(1)
FUNCTION(2)
FUNCTION(3)
FUNCTION(4)
FUNCTION(5)
FUNCTION(6)
FUNCTION(7)
FUNCTION(8)
FUNCTION(9)
FUNCTION(10)
FUNCTION(11)
FUNCTION(12)
FUNCTION(13)
FUNCTION(14)
FUNCTION(15)

static void *by_device[FUNCTIONS] = {
	function0, function1, function2, function3, function4, function5, function6, function7,
	function8, function9, function10, function11, function12, function13, function14,
	function15,
};

/* Returns the words of a bus as those of pcie.0: table of functions, unit. */
static void **words_in(void *bus)
{
	return (void **)bus + (place - (void **)pcie0);
}

static void give(void *bus, void **table, void *unit)
{
	void **words = words_in(bus);

	qemu.pci_setup_iommu(bus, table, unit);
	if (words[0] != table || words[1] != unit)
		unfit("pci_setup_iommu sets other words of a bus than the ones found");
}

void *scope_unit(void *device)
{
	void *iommu_bus = NULL, *bus = NULL, *unit;
	int devfn = 0;

	if (!place)
		return NULL;
	qemu.pci_device_get_iommu_bus_devfn(device, &iommu_bus, &bus, &devfn);
	if (!iommu_bus)
		return NULL;
	unit = words_in(iommu_bus)[1];
	return iommu_bus == pcie0 ? (void *)unit_for((uintptr_t)bus, (uintptr_t)unit, devfn) : unit;
}

void scope_init(const struct unit *first)
{
	bool ambiguous;

	pcie0 = qemu.object_resolve_path_type("pcie.0", "PCIE", &ambiguous);
	if (!pcie0)
		unfit("the machine has no bus pcie.0");
	place = only_word(pcie0, first->device, "the bus pcie.0") - 1;
	functions = place[0];
	if (!is_data(functions))
		unfit("the bus pcie.0 has no table of functions before its unit");
	for (size_t i = 0; i < FUNCTIONS; i++)
		if (!is_code(functions[i]))
			by_device[i] = NULL;
	give(pcie0, functions, first->device);
}

static void take_function(unsigned int devfn, const char *name, const struct unit *unit)
{
	if (owner[devfn])
		usage("%s is in the scope of two units", name);
	owner[devfn] = unit->device;
	split = true;
}

static void take(const char *name, const struct unit *unit)
{
	unsigned int device, function;
	bool ambiguous;
	int end = 0;
	void *bus;

	if (sscanf(name, "%2x.%1u%n", &device, &function, &end) == 2 && !name[end] &&
	    device < 32 && function < 8) {
		take_function(device << 3 | function, name, unit);
		return;
	}
	bus = qemu.object_resolve_path_type(name, "PCIE", &ambiguous);
	if (!bus || bus == pcie0)
		usage("scope: %s is neither a root bus of its own nor a function of pcie.0", name);
	if (words_in(bus)[1])
		usage("%s is in the scope of two units", name);
	give(bus, functions, unit->device);
}

/* QEMU has just given pcie.0 to this unit. */
void scope_take(const struct unit *unit, const struct unit *first)
{
	char *copy = strdup(unit->scope), *rest = copy, *name;

	if (place[0] != functions || place[1] != unit->device)
		unfit("a unit does not take the bus pcie.0");
	while ((name = strsep(&rest, "/")))
		take(name, unit);
	free(copy);
	give(pcie0, split ? by_device : functions, first->device);
}
