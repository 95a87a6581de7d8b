// SPDX-License-Identifier: GPL-2.0
/*
 * What a unit sends to a requester: invalidations of its translations, and responses to its page
 * requests. QEMU delivers them by requester and PASID, so there is a listener for each PASID that
 * was used. Of QEMU's structures, each word is compared with what it has to be.
 */
#include <stdlib.h>

#include "layout.h"
#include "qemu.h"
#include "requester.h"

#define DEVICE_TLBS (1u << 2)
#define SNOOP_CONTROL (1u << 7)

enum { ECAP = 0x10 };

/* QEMU's structures for the two are smaller. */
struct listener {
	uintptr_t invalidations[64];
	void (*responses[16])(void *notifier, void *response);
	struct requester *requester;
	struct listener *next;
	char *space;
	uint32_t pasid;
};

static size_t space_offset;

static void log_message(struct requester *requester, const struct message *message)
{
	requester->log[requester->registers[R_MESSAGES]++ % MESSAGES] = *message;
}

static void on_invalidation(void *notifier, void *data)
{
	struct listener *listener = notifier;
	struct requester *requester = listener->requester;
	const uint64_t *entry = data;
	struct invalidation range = { entry[4] >> 32, entry[1], entry[3] };
	struct message message = { INVALIDATION, range.pasid, range.address, range.mask };

	if ((char *)entry[0] != listener->space || range.pasid != listener->pasid ||
	    (range.mask & (range.mask + 1)) || (range.address & range.mask) || (uint32_t)entry[4])
		unfit("what the unit says of an invalidation has other words than the known ones");
	message.kind |= requester->registers[R_ANSWERS] << 8;
	log_message(requester, &message);
	switch (requester->registers[R_ANSWERS]) {
	case PROMPT:
		kept_invalidate(requester, &range);
		break;
	case LATE:
		requester->pending[requester->pendings++ % PENDING] = range;
		break;
	}
}

void requester_answer(struct requester *requester)
{
	if (requester->pendings > PENDING)
		kept_clear(requester);
	for (size_t i = 0; i < requester->pendings && i < PENDING; i++)
		kept_invalidate(requester, &requester->pending[i]);
	requester->pendings = 0;
}

static void on_response(void *notifier, void *data)
{
	const struct listener *listener =
		(void *)((char *)notifier - offsetof(struct listener, responses));
	const uint32_t *response = data;
	struct message message = {
		PAGE_RESPONSE, listener->pasid, (uint16_t)response[1], response[0],
	};

	if (response[0] > 15)
		unfit("what the unit says of a page response has other words than the known ones");
	log_message(listener->requester, &message);
}

static void listen_for(struct listener *listener)
{
	struct requester *requester = listener->requester;
	uint64_t ecap = registers_read(requester->unit, ECAP, 8);

	if (requester->ats && (ecap & DEVICE_TLBS)) {
		if (ecap & SNOOP_CONTROL)
			usage("a vtd-requester with ats=on needs a unit without snoop-control=on");
		qemu.pci_iommu_init_iotlb_notifier(requester->device, listener->invalidations,
						   on_invalidation, listener);
		qemu.pci_iommu_register_iotlb_notifier(requester->device, listener->pasid,
						       listener->invalidations);
	}
	if (requester->pri)
		qemu.pci_pri_register_notifier(requester->device, listener->pasid,
					       listener->responses);
}

static struct listener *listener_of(struct requester *requester, uint32_t pasid)
{
	void *iommu_bus, *bus;
	struct listener *listener;
	int devfn;

	for (listener = requester->listeners; listener; listener = listener->next)
		if (listener->pasid == pasid)
			return listener;
	listener = calloc(1, sizeof(*listener));
	if (!listener)
		unfit("no memory for a PASID");
	qemu.pci_device_get_iommu_bus_devfn(requester->device, &iommu_bus, &bus, &devfn);
	listener->requester = requester;
	listener->pasid = pasid;
	listener->space = qemu.vtd_find_add_as(requester->unit->device, bus, devfn, pasid);
	listener->space += space_offset;
	/* QEMU calls the one in the word that is its own. */
	for (size_t i = 0; i < sizeof(listener->responses) / sizeof(void *); i++)
		listener->responses[i] = on_response;
	listener->next = requester->listeners;
	requester->listeners = listener;
	listen_for(listener);
	return listener;
}

void *listener_space(struct requester *requester, uint32_t pasid)
{
	return listener_of(requester, pasid)->space;
}

/* The offset of an address space in the unit's structure for it */
void listener_init(struct requester *requester, size_t offset)
{
	space_offset = offset;
	listener_of(requester, NO_PASID);
}

void listener_remove_all(struct requester *requester)
{
	bool listens = requester->ats &&
		       (registers_read(requester->unit, ECAP, 8) & DEVICE_TLBS);

	while (requester->listeners) {
		struct listener *listener = requester->listeners;

		if (listens)
			qemu.pci_iommu_unregister_iotlb_notifier(requester->device, listener->pasid,
								 listener->invalidations);
		if (requester->pri)
			qemu.pci_pri_unregister_notifier(requester->device, listener->pasid);
		requester->listeners = listener->next;
		free(listener);
	}
}
