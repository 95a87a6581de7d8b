// SPDX-License-Identifier: GPL-2.0
/*
 * Fault events, and the faults of requests that QEMU's unit would let pass: they are not in its
 * fault record, so a record of this object is read in its place until the guest clears it. QEMU's
 * log has them in the words of QEMU's own lines.
 */
#include "qemu.h"
#include "requester.h"

enum { CAP = 0x08, FSTS = 0x34, FECTL = 0x38, FEDATA = 0x3c, FEADDR = 0x40, FEUADDR = 0x44 };

#define FAULT (1ull << 63)
#define IS_READ (1ull << 62)
#define WITH_PASID_BITS(pasid) ((uint64_t)(pasid) << 40 | 1ull << 31)
#define INDEX 0xff00u
#define OVERFLOWN (1u << 0)
#define RECORDED (1u << 1)
#define QUEUE_ERRORS (7u << 4)
#define MASKED (1u << 31)
#define MESSAGE_PENDING (1u << 30)

static void send_event(struct unit *unit)
{
	uint64_t address = registers_read(unit, FEADDR, 4) |
			   registers_read(unit, FEUADDR, 4) << 32;
	uint32_t data = (uint32_t)registers_read(unit, FEDATA, 4);

	unit->faults.event_pending = false;
	qemu.address_space_rw(qemu.address_space_memory, address, 0, &data, sizeof(data), true);
}

/* VT-d 7.3: there is no event while FSTS has an earlier fault, of which software knows. */
void fault_event(struct unit *unit, uint32_t earlier)
{
	if (earlier)
		return;
	if (registers_read(unit, FECTL, 4) & MASKED)
		unit->faults.event_pending = true;
	else
		send_event(unit);
}

static uint64_t record_offset(const struct unit *unit)
{
	return (registers_read(unit, CAP, 8) >> 24 & 0x3ff) * 16;
}

/* The bits of FSTS that make an event, of QEMU's unit and of this object. */
uint32_t fault_status(const struct unit *unit)
{
	uint32_t own = unit->faults.high & FAULT ? RECORDED : 0;

	return ((uint32_t)registers_read(unit, FSTS, 4) | unit->queue.status | own) &
	       (OVERFLOWN | RECORDED | QUEUE_ERRORS);
}

/* VT-d 7.2.1.1: one record, and no second one of a requester that has one. */
void fault_record(const struct requester *requester, unsigned int reason, uint64_t information,
		  bool write)
{
	struct unit *unit = requester->unit;
	uint16_t source = qemu.pci_requester_id(requester->device);
	uint64_t high = FAULT | (uint64_t)reason << 32 | source;
	uint32_t earlier = fault_status(unit);

	if (reason & NOT_RECORDED)
		return;
	if (!write)
		high |= IS_READ;
	if (requester->registers[R_FLAGS] & WITH_PASID)
		high |= WITH_PASID_BITS(requester->registers[R_PASID]);
	log_work_of(unit);
	if (reason < INTERRUPT_REASONS || reason > LAST_INTERRUPT_REASON)
		qemu.qemu_log("vtd_dmar_fault sid 0x%x fault %u addr 0x%llx write %d\n", source,
			      reason, (unsigned long long)information, write);
	if (earlier & (OVERFLOWN | RECORDED))
		return;
	unit->faults.low = information & -4096ull;
	unit->faults.high = high;
	qemu.qemu_log("vtd_frr_new index 0 high 0x%llx low 0x%llx\n", (unsigned long long)high,
		      (unsigned long long)unit->faults.low);
	fault_event(unit, earlier);
}

uint64_t fault_read(const struct unit *unit, uint64_t at, uint64_t value, unsigned int size)
{
	uint64_t first, word;

	if (at == FECTL && unit->faults.event_pending)
		return value | MESSAGE_PENDING;
	if (!(unit->faults.high & FAULT))
		return value;
	if (at == FSTS)
		return (value & ~(uint64_t)INDEX) | RECORDED;
	first = record_offset(unit);
	if (at < first || at >= first + 16)
		return value;
	word = (at - first < 8 ? unit->faults.low : unit->faults.high) >> at % 8 * 8;
	return size == 4 ? (uint32_t)word : word;
}

void fault_written(struct unit *unit, uint64_t at, uint64_t value)
{
	if (!unit->faults.event_pending)
		return;
	if (at == FECTL && !(value & MASKED))
		send_event(unit);
	else if (!fault_status(unit))
		unit->faults.event_pending = false;
}

/* Returns whether a write clears the record of this object, so that QEMU's unit does not see it. */
bool fault_takes(struct unit *unit, uint64_t at, uint64_t value, unsigned int size)
{
	uint64_t last = record_offset(unit) + (size == 8 ? 8 : 12);

	if (!(unit->faults.high & FAULT) || at != last || !(value >> (size * 8 - 1) & 1))
		return false;
	unit->faults.high = 0;
	fault_written(unit, at, value);
	return true;
}
