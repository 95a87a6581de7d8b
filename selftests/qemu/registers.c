// SPDX-License-Identifier: GPL-2.0
/*
 * The registers of each unit pass through here. Every write is put into QEMU's log with the unit's
 * base, and so is every change of the unit that translates: what QEMU traces from there up to the
 * next such line is the work of that unit, since none of QEMU's own lines names one. The guest may
 * be shown other capability bits than QEMU's unit has.
 *
 * A region of registers has a table of functions whose first two read and write. A copy of the
 * table, with these two replaced, takes its place; an access through QEMU then proves the place.
 */
#include <stdlib.h>
#include <string.h>

#include "layout.h"
#include "qemu.h"
#include "unit.h"

enum { READ, WRITE };
enum { VER = 0x00, CAP = 0x08, ECAP = 0x10 };

/* Accesses of the proof, which are counted instead of passed on. */
static bool proving;
static unsigned int proved;

/* Whose work the last line of QEMU's log says the next is. */
static const struct unit *named;

void log_work_of(const struct unit *unit)
{
	if (named == unit)
		return;
	named = unit;
	qemu.qemu_log("vtd_unit 0x%llx translates\n", (unsigned long long)unit->base);
}

static uint64_t adjusted(const struct bits *bits, uint64_t value, uint64_t at, unsigned int size)
{
	unsigned int shift = at % 8 * 8;

	value = (value | bits->added >> shift) & ~(bits->removed >> shift);
	return size == 4 ? (uint32_t)value : value;
}

uint64_t registers_read(const struct unit *unit, uint64_t at, unsigned int size)
{
	uint64_t (*read)(void *, uint64_t, unsigned int) = unit->functions[READ];

	return read(unit->device, at, size);
}

void registers_write(const struct unit *unit, uint64_t at, uint64_t value, unsigned int size)
{
	void (*write)(void *, uint64_t, uint64_t, unsigned int) = unit->functions[WRITE];

	named = unit;
	qemu.qemu_log("vtd_unit 0x%llx write 0x%llx size %u value 0x%llx\n",
		      (unsigned long long)unit->base, (unsigned long long)at, size,
		      (unsigned long long)value);
	masks_use(unit);	/* an invalidation may walk tables for QEMU's notifiers */
	write(unit->device, at, value, size);
}

static uint64_t read_register(void *device, uint64_t at, unsigned int size)
{
	struct unit *unit = unit_of(device);
	uint64_t value = registers_read(unit, at, size);

	proved += proving;
	if ((at & ~7ull) == CAP)
		return adjusted(&unit->cap, value, at, size);
	if ((at & ~7ull) == ECAP)
		return adjusted(&unit->ecap, value, at, size);
	return fault_read(unit, at, queue_read(unit, at, value), size);
}

static void write_register(void *device, uint64_t at, uint64_t value, unsigned int size)
{
	struct unit *unit = unit_of(device);

	if (proving) {
		proved++;
		return;
	}
	if (queue_takes(unit, at, value) || fault_takes(unit, at, value, size))
		return;
	registers_write(unit, at, value, size);
	queue_written(unit, at, value);
	fault_written(unit, at, value);
}

/* The word after the table is what its functions get as their first parameter, the unit. */
static void **table_of(void *region, const struct unit *unit)
{
	void **end = (void **)unit->device + words_of(unit->device);

	for (void **word = region; word + 1 < end; word++) {
		void **table = *word;

		if (word[1] == unit->device && is_data(table) && is_code(table[READ]) &&
		    is_code(table[WRITE]))
			return word;
	}
	unfit("the region of a unit's registers has no table of functions");
}

static void prove(void *region, const struct unit *unit)
{
	uint64_t wanted = adjusted(&unit->cap, registers_read(unit, CAP, 8), CAP, 8), whole = 0;
	uint64_t low = 0, high = 0;

	proving = true;
	proved = 0;
	qemu.memory_region_dispatch_read(region, CAP, &whole, 3, 0);
	qemu.memory_region_dispatch_read(region, CAP, &low, 2, 0);
	qemu.memory_region_dispatch_read(region, CAP + 4, &high, 2, 0);
	if (proved != 3 || !whole || whole != wanted || whole != (high << 32 | low))
		unfit("the function found as a register's read is another one");
	qemu.memory_region_dispatch_write(region, VER, 0, 2, 0);
	if (proved != 4)
		unfit("the function found as a register's write is another one");
	proving = false;
}

void registers_table(const struct unit *unit, void **table,
		     uint64_t (*read)(void *data, uint64_t at, unsigned int size),
		     void (*write)(void *data, uint64_t at, uint64_t value, unsigned int size))
{
	memcpy(table, unit->functions, TABLE_COPIED * sizeof(*table));
	table[READ] = read;
	table[WRITE] = write;
}

void registers_open(struct unit *unit)
{
	void *region = qemu.object_resolve_path_component(unit->device, "intel_iommu[0]");
	void **table, **place;

	if (!region)
		unfit("a unit has no region of registers with the name intel_iommu[0]");
	qemu.memory_region_set_address(region, unit->base);
	place = table_of(region, unit);
	unit->functions = *place;
	table = malloc(TABLE_COPIED * sizeof(*table));
	if (!table)
		unfit("no memory for a table of functions");
	registers_table(unit, table, read_register, write_register);
	*place = table;
	prove(region, unit);
	queue_open(unit);
}

static uint64_t parse_bits(const char *text)
{
	char *end;
	uint64_t value = strtoull(text, &end, 0);

	if (!*text || *end)
		usage("%s is no number of bits to add or to remove", text);
	return value;
}

static void set_cap_added(void *device, const char *value, void **errp)
{
	unit_of(device)->cap.added = parse_bits(value);
}

static void set_cap_removed(void *device, const char *value, void **errp)
{
	unit_of(device)->cap.removed = parse_bits(value);
}

static void set_ecap_added(void *device, const char *value, void **errp)
{
	unit_of(device)->ecap.added = parse_bits(value);
}

static void set_ecap_removed(void *device, const char *value, void **errp)
{
	unit_of(device)->ecap.removed = parse_bits(value);
}

void registers_init(void *class)
{
	add_property(class, "cap-added", "bits that the guest also reads in CAP", set_cap_added);
	add_property(class, "cap-removed", "bits that the guest does not read in CAP",
		     set_cap_removed);
	add_property(class, "ecap-added", "bits that the guest also reads in ECAP", set_ecap_added);
	add_property(class, "ecap-removed", "bits that the guest does not read in ECAP",
		     set_ecap_removed);
	queue_init(class);
}
