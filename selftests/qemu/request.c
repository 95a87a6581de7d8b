// SPDX-License-Identifier: GPL-2.0
/* The requests that a requester sends. */
#include <errno.h>
#include <string.h>

#include "layout.h"
#include "qemu.h"
#include "requester.h"

#define MOST 65536		/* requests by one command */
#define INTERRUPTS 0xfee
#define IS_INTERRUPT(address) ((address) >> 20 == INTERRUPTS)

/* The bit of a request's attributes that makes it a translated one */
static uint64_t translated;

static int take_region(void *child, void *data)
{
	void **region = data;

	if (!qemu.object_dynamic_cast(child, "intel-iommu-iommu-memory-region"))
		return 0;
	*region = child;
	return 1;
}

/* Translated requests have a separate index. */
static void find_translated(struct requester *requester)
{
	void *region = NULL;
	int others;

	qemu.object_child_foreach(requester->unit->device, take_region, &region);
	if (!region)
		unfit("a unit has no region that it translates");
	others = qemu.memory_region_iommu_attrs_to_index(region, 0);
	translated = 0;
	for (int i = 0; i < 64; i++) {
		if (qemu.memory_region_iommu_attrs_to_index(region, 1ull << i) == others)
			continue;
		if (translated)
			unfit("more than one bit makes a request a translated one");
		translated = 1ull << i;
	}
	if (!translated)
		unfit("no bit makes a request a translated one");
}

void request_init(struct requester *requester)
{
	char *space = qemu.pci_device_iommu_address_space(requester->device), *structure;
	void *iommu_bus, *bus;
	int devfn;

	qemu.pci_device_get_iommu_bus_devfn(requester->device, &iommu_bus, &bus, &devfn);
	structure = qemu.vtd_find_add_as(requester->unit->device, bus, devfn, NO_PASID);
	if (space < structure ||
	    (size_t)(space - structure) >= words_of(structure) * sizeof(void *))
		unfit("the address space of a device is not in its unit's structure for it");
	find_translated(requester);
	listener_init(requester, space - structure);
}

static uint32_t pasid_of(const struct requester *requester)
{
	if (!(requester->registers[R_FLAGS] & WITH_PASID))
		return NO_PASID;
	return (uint32_t)requester->registers[R_PASID];
}

static enum status transfer(struct requester *requester, void *space, uint64_t address,
			    uint64_t attributes, bool write)
{
	uint64_t *registers = requester->registers, data = registers[R_VALUE];
	size_t size = registers[R_FLAGS] & FOUR_BYTES ? 4 : sizeof(data);

	if (qemu.address_space_rw(space, address, attributes, &data, size, write))
		return REFUSED;
	registers[R_VALUE] = data;
	return COMPLETE;
}

/* The checks of permission.c: a request that is refused is counted, and recorded as a fault. */
static bool is_blocked(struct requester *requester, unsigned int reason, int counter,
		       uint64_t information, bool write)
{
	if (!reason || requester->registers[R_FLAGS] & UNCHECKED)
		return false;
	requester->registers[counter]++;
	fault_record(requester, reason, information, write);
	return true;
}

/*
 * In legacy mode, QEMU's unit translates what is translated already, so a request that passed the
 * check goes to memory.
 */
static enum status transfer_translated(struct requester *requester, uint64_t target, bool write)
{
	uint64_t *registers = requester->registers;

	if (registers[R_FLAGS] & UNCHECKED)
		return transfer(requester, listener_space(requester, pasid_of(requester)), target,
				translated, write);
	if (IS_INTERRUPT(target)) {
		registers[R_BLOCKED_TRANSLATED]++;
		return BLOCKED;
	}
	if (is_blocked(requester, refuses_translations(requester), R_BLOCKED_TRANSLATED, target,
		       write))
		return BLOCKED;
	registers[R_TRANSLATED]++;
	return transfer(requester, qemu.address_space_memory, target, 0, write);
}

static enum status interrupt(struct requester *requester, uint64_t address)
{
	uint64_t *registers = requester->registers;

	if (!IS_INTERRUPT(address) || address % 4)
		return INVALID;
	if ((registers[R_FLAGS] & (WITH_PASID | UNCHECKED)) == WITH_PASID) {
		registers[R_BLOCKED_INTERRUPTS]++;
		return BLOCKED;
	}
	if (is_blocked(requester, refuses_interrupt(requester, address), R_BLOCKED_INTERRUPTS, 0,
		       true))
		return BLOCKED;
	qemu.msi_send_message(requester->device, address, (uint32_t)registers[R_VALUE]);
	return COMPLETE;
}

static enum status access_memory(struct requester *requester, uint64_t address, bool write)
{
	uint64_t *registers = requester->registers;
	const struct translation *kept;

	if (registers[R_FLAGS] & AS_TRANSLATED)
		return transfer_translated(requester, address, write);
	if (registers[R_FLAGS] & USE_KEPT) {
		kept = kept_find(requester, pasid_of(requester), address);
		if (!kept || !(kept->permissions & (write ? MAY_WRITE : MAY_READ)))
			return NOT_KEPT;
		return transfer_translated(requester, kept->target | (address & kept->mask), write);
	}
	if (IS_INTERRUPT(address) && write)
		return interrupt(requester, address);
	if (is_blocked(requester, refuses_pasid(requester), R_BLOCKED_PASIDS, address, write))
		return BLOCKED;
	return transfer(requester, listener_space(requester, pasid_of(requester)), address, 0,
			write);
}

static enum status translate(struct requester *requester, uint64_t address)
{
	uint64_t *registers = requester->registers, entry[8] = { 0 };
	uint64_t wanted = MAY_READ | (registers[R_FLAGS] & FOR_WRITE ? MAY_WRITE : 0);
	struct translation got = { .pasid = pasid_of(requester) };
	uint32_t errors = 0;
	ptrdiff_t results;

	if (is_blocked(requester, refuses_translations(requester), R_BLOCKED_TRANSLATIONS, address,
		       wanted & MAY_WRITE))
		return BLOCKED;
	if (!is_translating(requester))
		return REFUSED;
	listener_space(requester, got.pasid);
	log_work_of(requester->unit);
	masks_use(requester->unit);
	results = qemu.pci_ats_request_translation(requester->device, got.pasid, false, false,
						   address, PAGE_SIZE, !(wanted & MAY_WRITE),
						   entry, 1, &errors);
	if (results != 1)
		return REFUSED;
	got.permissions = entry[4] & (MAY_READ | MAY_WRITE);
	got.mask = entry[3];
	got.address = address & ~got.mask;
	got.target = entry[2] & ~got.mask;
	if ((void *)entry[0] != qemu.address_space_memory || (got.mask & (got.mask + 1)) ||
	    (got.permissions && (entry[1] != got.address || entry[4] >> 32 != got.pasid)))
		unfit("what the unit says of a translation has other words than the known ones");
	registers[R_TRANSLATION] = got.target;
	registers[R_MASK] = got.mask;
	registers[R_PERMISSIONS] = got.permissions;
	if (got.permissions)
		kept_add(requester, &got);
	return (got.permissions & wanted) == wanted ? COMPLETE : REFUSED;
}

static enum status request_page(struct requester *requester, uint64_t address, bool last)
{
	uint64_t *registers = requester->registers, flags = registers[R_FLAGS];
	uint32_t pasid = pasid_of(requester);
	int error;

	listener_space(requester, pasid);
	log_work_of(requester->unit);
	error = qemu.pci_pri_request_page(requester->device, pasid, flags & PRIVILEGED,
					  false, address, last && (flags & LAST_OF_GROUP),
					  (uint16_t)registers[R_GROUP], true, flags & FOR_WRITE);
	return !error ? COMPLETE : error == -ENOSPC ? QUEUE_FULL : REFUSED;
}

static enum status one(struct requester *requester, enum command command, uint64_t address,
		       bool last)
{
	switch (command) {
	case READ_MEMORY:
		return access_memory(requester, address, false);
	case WRITE_MEMORY:
		return access_memory(requester, address, true);
	case TRANSLATE:
		return translate(requester, address);
	case REQUEST_PAGES:
		return request_page(requester, address, last);
	case INTERRUPT:
		return interrupt(requester, address);
	default:
		return INVALID;
	}
}

static bool is_enabled(struct requester *requester, enum command command)
{
	uint64_t flags = requester->registers[R_FLAGS];
	void *device = requester->device;

	if (!requester->master)
		return false;
	if ((flags & WITH_PASID) && !qemu.pcie_pasid_enabled(device))
		return false;
	if ((command == TRANSLATE || (flags & USE_KEPT)) && !qemu.pcie_ats_enabled(device))
		return false;
	return command != REQUEST_PAGES || qemu.pcie_pri_enabled(device);
}

/* The status is the first one that is not COMPLETE. */
void request_run(struct requester *requester, enum command command)
{
	uint64_t *registers = requester->registers, address = registers[R_ADDRESS];

	registers[R_STATUS] = COMPLETE;
	registers[R_DONE] = 0;
	if (command == DISCARD) {
		kept_clear(requester);
		return;
	}
	if (!registers[R_COUNT] || registers[R_COUNT] > MOST || registers[R_FLAGS] & ~ALL_FLAGS ||
	    registers[R_PASID] >> 20)
		registers[R_STATUS] = INVALID;
	else if (!is_enabled(requester, command))
		registers[R_STATUS] = NOT_ENABLED;
	if (registers[R_STATUS])
		return;
	for (uint64_t i = 1; i <= registers[R_COUNT]; i++, address += PAGE_SIZE) {
		enum status status = one(requester, command, address, i == registers[R_COUNT]);

		registers[R_DONE] += status == COMPLETE;
		if (!registers[R_STATUS])
			registers[R_STATUS] = status;
	}
}
