// SPDX-License-Identifier: GPL-2.0
/*
 * Checks that a unit makes and QEMU's leaves out: which devices may send requests that are
 * translated already, and requests for translations; and whether interrupts may have the format
 * from before remapping. Tables are read in memory, as by a unit that has nothing in its caches.
 */
#include "qemu.h"
#include "requester.h"

enum { GSTS = 0x1c, RTADDR = 0x20 };

#define TRANSLATING (1u << 31)
#define REMAPPING_INTERRUPTS (1u << 25)
#define REMAPPABLE_FORMAT (1u << 4)
#define PRESENT 1u
#define FAULT_PROCESSING_DISABLE (1u << 1)
#define TABLE (-1ull << 12)
#define DEVICE_TLB_ENABLE (1u << 2)

enum { LEGACY, SCALABLE };

static uint32_t status(const struct requester *requester)
{
	return (uint32_t)registers_read(requester->unit, GSTS, 4);
}

static uint64_t memory(uint64_t address)
{
	uint64_t value = 0;

	qemu.address_space_rw(qemu.address_space_memory, address, 0, &value, sizeof(value), false);
	return value;
}

/* VT-d 9.3, 9.4: FPD of a context entry */
static unsigned int processing(uint64_t entry)
{
	return entry & FAULT_PROCESSING_DISABLE ? NOT_RECORDED : 0;
}

/* VT-d 9.3: with translation type 1, all kinds of requests are allowed. */
static unsigned int in_legacy_mode(uint64_t root, unsigned int bus, unsigned int devfn)
{
	uint64_t table = memory(root + bus * 16), entry;

	if (!(table & PRESENT))
		return ROOT_ABSENT;
	entry = memory((table & TABLE) + devfn * 16);
	if (!(entry & PRESENT))
		return CONTEXT_ABSENT | processing(entry);
	return (entry >> 2 & 3) == 1 ? 0 : TYPE_BLOCKED | processing(entry);
}

/* VT-d 9.4: the upper half of a root entry is for devices 16 to 31. */
static unsigned int in_scalable_mode(uint64_t root, unsigned int bus, unsigned int devfn)
{
	uint64_t table = memory(root + bus * 16 + (devfn >> 7) * 8), entry;

	if (!(table & PRESENT))
		return SCALABLE_ROOT_ABSENT;
	entry = memory((table & TABLE) + (devfn & 0x7f) * 32);
	if (!(entry & PRESENT))
		return SCALABLE_CONTEXT_ABSENT | processing(entry);
	return entry & DEVICE_TLB_ENABLE ? 0 : TRANSLATIONS_BLOCKED | processing(entry);
}

static uint64_t root_of(const struct requester *requester)
{
	return registers_read(requester->unit, RTADDR, 8);
}

static unsigned int mode(uint64_t root)
{
	return root >> 10 & 3;
}

bool is_translating(const struct requester *requester)
{
	return status(requester) & TRANSLATING;
}

unsigned int refuses_translations(const struct requester *requester)
{
	uint64_t root = root_of(requester);
	uint16_t source = qemu.pci_requester_id(requester->device);

	if (!is_translating(requester))
		return 0;
	switch (mode(root)) {
	case LEGACY:
		return in_legacy_mode(root & TABLE, source >> 8, source & 0xff);
	case SCALABLE:
		return in_scalable_mode(root & TABLE, source >> 8, source & 0xff);
	default:
		return ROOT_INVALID;
	}
}

unsigned int refuses_pasid(const struct requester *requester)
{
	bool with_pasid = requester->registers[R_FLAGS] & WITH_PASID;

	return with_pasid && is_translating(requester) && mode(root_of(requester)) == LEGACY ?
	       PASID_IN_LEGACY_MODE : 0;
}

/* VT-d 5.1.4; the old format can be allowed by GCMD.CFI, which QEMU's unit does not have. */
unsigned int refuses_interrupt(const struct requester *requester, uint64_t address)
{
	return address & REMAPPABLE_FORMAT || !(status(requester) & REMAPPING_INTERRUPTS) ?
	       0 : OLD_FORMAT_BLOCKED;
}
