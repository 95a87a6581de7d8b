/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A scripted endpoint on PCI Express with ATS, PASID and PRI. Documentation/qemu-units.rst
 * describes its registers.
 */
#ifndef VTD_REQUESTER_H
#define VTD_REQUESTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "unit.h"

#define REQUESTERS 16
#define KEPT 64			/* translations */
#define MESSAGES 64		/* from the unit */
#define PENDING 64		/* invalidations that are not answered yet */
#define PAGE_SIZE 4096
#define NO_PASID 0xffffffffu

/* Registers, by their number: each has eight bytes. */
enum {
	R_MAGIC, R_COMMAND, R_STATUS, R_ADDRESS, R_VALUE, R_PASID, R_FLAGS, R_COUNT, R_DONE,
	R_TRANSLATION, R_MASK, R_PERMISSIONS, R_GROUP, R_ANSWERS, R_DELAY, R_KEPT,
	R_TRANSLATED, R_BLOCKED_TRANSLATED, R_BLOCKED_TRANSLATIONS, R_BLOCKED_INTERRUPTS,
	R_MESSAGES, R_BLOCKED_PASIDS, REGISTERS,
};

#define R_LOG 0x800
#define BAR_SIZE 4096

enum command { READ_MEMORY = 1, WRITE_MEMORY, TRANSLATE, REQUEST_PAGES, INTERRUPT, DISCARD };

enum status { COMPLETE, REFUSED, BLOCKED, NOT_KEPT, NOT_ENABLED, INVALID, QUEUE_FULL };

enum {
	WITH_PASID = 1 << 0, FOR_WRITE = 1 << 1, PRIVILEGED = 1 << 2, USE_KEPT = 1 << 3,
	AS_TRANSLATED = 1 << 4, UNCHECKED = 1 << 5, LAST_OF_GROUP = 1 << 6, FOUR_BYTES = 1 << 7,
	ALL_FLAGS = (1 << 8) - 1,
};

/* What it does when it is message to invalidate. */
enum { PROMPT, IGNORE, LATE, NEVER };

/* Permissions of a translation */
enum { MAY_READ = 1, MAY_WRITE = 2 };

struct translation {
	uint32_t pasid, permissions;	/* none: the place is free */
	uint64_t address, mask, target;
};

enum { INVALIDATION = 1, PAGE_RESPONSE };

struct message {
	uint64_t kind, pasid, value, more;
};

struct invalidation {
	uint32_t pasid;
	uint64_t address, mask;
};

struct listener;

struct requester {
	void *device;			/* NULL: the place is free */
	struct unit *unit;
	uint8_t *config;
	uint64_t vendor_id, device_id, class_id, pasid_bits;
	bool ats, pri, proved, master;
	uint64_t registers[REGISTERS];
	struct translation kept[KEPT];
	size_t next_kept;
	struct invalidation pending[PENDING];
	size_t pendings;
	struct message log[MESSAGES];
	struct listener *listeners;
};

/* requester.c: requester_at() returns a place, which may be free, or NULL after the last. */
void requester_init(void);
struct requester *requester_at(size_t index);

/*
 * pci.c: the place of the one function in the class of a PCI device that two types have and two
 * others do not; and the configuration space of a device.
 */
void **pci_function(void **class, const char *what, const char *const with[2],
		    const char *const without[2]);
uint8_t *pci_config(void *device);

/* request.c */
void request_init(struct requester *requester);
void request_run(struct requester *requester, enum command command);

/* listener.c: what the unit sends. An address space is the one of the requester with this PASID. */
void listener_init(struct requester *requester, size_t offset);
void listener_remove_all(struct requester *requester);
void *listener_space(struct requester *requester, uint32_t pasid);
void requester_answer(struct requester *requester);

/* kept.c: the translations that a requester keeps */
void kept_add(struct requester *requester, const struct translation *translation);
const struct translation *kept_find(const struct requester *requester, uint32_t pasid,
				    uint64_t address);
void kept_invalidate(struct requester *requester, const struct invalidation *invalidation);
void kept_clear(struct requester *requester);

/* Reasons of faults (VT-d 7.1.3) */
enum {
	ROOT_ABSENT = 0x01, CONTEXT_ABSENT = 0x02, TYPE_BLOCKED = 0x0d, OLD_FORMAT_BLOCKED = 0x25,
	ROOT_INVALID = 0x30, PASID_IN_LEGACY_MODE = 0x31, SCALABLE_ROOT_ABSENT = 0x39,
	SCALABLE_CONTEXT_ABSENT = 0x41, TRANSLATIONS_BLOCKED = 0x44,
	INTERRUPT_REASONS = 0x20, LAST_INTERRUPT_REASON = 0x2f, NOT_RECORDED = 0x100,
};

/*
 * permission.c: the checks that QEMU's unit leaves out. Each returns why the unit refuses, or 0:
 * requests that are translated or for translations, those with PASID, and interrupts.
 */
bool is_translating(const struct requester *requester);
unsigned int refuses_translations(const struct requester *requester);
unsigned int refuses_pasid(const struct requester *requester);
unsigned int refuses_interrupt(const struct requester *requester, uint64_t address);

/* fault.c: records a fault of the request that the registers describe. */
void fault_record(const struct requester *requester, unsigned int reason, uint64_t information,
		  bool write);

#endif
