// SPDX-License-Identifier: GPL-2.0
/*
 * Which bits of a table entry are reserved, QEMU keeps once for all units: the unit that was reset
 * last decides for all. The words that hold it are found while a unit is made: words of QEMU's data
 * that change from one such mask to another. From then on each unit has its own values, which are
 * put in place before it translates or is written to. If no word is found, all units agree.
 */
#include <stdlib.h>
#include <string.h>

#include "layout.h"
#include "qemu.h"
#include "unit.h"

/* Bits that are reserved in every entry, and bits by which the masks of two units may differ. */
#define ALWAYS (0xfull << 48)
#define MAY_DIFFER (1ull << 62 | 0xff8000000800)	/* TM, the width, SNP */
#define FRAMES 0x10000				/* more than a few frames take */

static uint64_t *found[MASKS];
static size_t count;
static uintptr_t (*translate)(uintptr_t, void *, uintptr_t, uintptr_t, uintptr_t);

static bool are_masks(uint64_t before, uint64_t after)
{
	return before != after && (before & after & ALWAYS) == ALWAYS &&
	       !((before ^ after) & ~MAY_DIFFER);
}

static bool is_known(const uint64_t *word)
{
	for (size_t i = 0; i < count; i++)
		if (found[i] == word)
			return true;
	return false;
}

void masks_use(const struct unit *unit)
{
	for (size_t i = 0; i < count; i++)
		*found[i] = unit->masks[i];
}

uint64_t *masks_before(void)
{
	size_t words;
	void **data = writable_data(&words);
	uint64_t *copy = malloc(words * sizeof(*copy));

	if (!copy)
		unfit("no memory for a copy of QEMU's data");
	return memcpy(copy, data, words * sizeof(*copy));
}

void masks_after(uint64_t *before, struct unit *unit)
{
	size_t words;
	uint64_t *now = (uint64_t *)writable_data(&words);

	for (size_t i = 0; i < words; i++) {
		struct unit *other;

		if (!are_masks(before[i], now[i]) || is_known(&now[i]))
			continue;
		if (count == MASKS)
			unfit("more than %d words of QEMU's data look like reserved bits", MASKS);
		for (size_t n = 0; (other = unit_at(n)); n++)
			other->masks[count] = before[i];
		found[count++] = &now[i];
	}
	free(before);
	for (size_t i = 0; i < count; i++)
		unit->masks[i] = *found[i];
}

/* The result is a structure in the caller's frame, where a hidden first parameter points to. */
static uintptr_t translate_by_own_masks(uintptr_t result, void *region, uintptr_t address,
					uintptr_t access, uintptr_t index)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	const struct unit *unit;

	if (result - here > FRAMES)
		unfit("the function found as translate is another one");
	unit = unit_of(qemu.memory_region_owner(region));
	log_work_of(unit);
	masks_use(unit);
	return translate(result, region, address, access, index);
}

/*
 * translate is the first function that the class of such a region adds to the class of all regions.
 * The heap gives an object up to one word more than it needs.
 */
void masks_init(void)
{
	void **own = qemu.object_class_by_name("intel-iommu-iommu-memory-region");
	void **parent = qemu.object_class_by_name("iommu-memory-region");
	void **region = qemu.object_class_by_name("memory-region");
	size_t first;

	if (translate)
		return;
	if (!own || !parent || !region)
		unfit("QEMU has no class for the regions that a unit translates");
	for (first = 0; first < words_of(parent); first++)
		if (is_code(own[first]) && !parent[first])
			break;
	if (first != words_of(region) && first + 1 != words_of(region))
		unfit("translate is not the first function of the regions that a unit translates");
	translate = own[first];
	own[first] = translate_by_own_masks;
}
