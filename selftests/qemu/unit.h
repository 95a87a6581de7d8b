/* SPDX-License-Identifier: GPL-2.0 */
/* The remapping units of a machine: QEMU's own, which is the first, and those of type vtd-unit. */
#ifndef VTD_UNIT_H
#define VTD_UNIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UNITS 9
#define MASKS 32
#define FIRST_BASE 0xfed90000

/* Bits that the guest reads in a register in addition, and bits that it does not read. */
struct bits {
	uint64_t added, removed;
};

#define DEFAULT_TIME_OUT 10000	/* microseconds */

/* The invalidation queue, if it is not left to QEMU's unit; times are in nanoseconds. */
struct queue {
	bool opened, held;
	bool waits;			/* not all up to the tail is read, or not all is answered */
	uint64_t tail;			/* the guest's */
	int64_t delay, next;		/* of a descriptor; when the next one is read */
	int error;			/* that the next descriptor gets */
	bool unanswered;		/* by a device; then: */
	uint16_t source;
	int64_t answered, expires;	/* when it answers, and when that is missed */
	int64_t time_out;		/* until that, or 0 for the default */
	bool sourceless;		/* ITE does not say which device it was */
	uint32_t status;		/* bits of FSTS in addition to those of QEMU's unit */
	uint64_t record;		/* the register IQERCD */
	void *timer[32];		/* QEMU's structure is smaller */
};

/* The fault record of this object, and an event that waits until it is no longer masked. */
struct faults {
	uint64_t low, high;
	bool event_pending;
};

struct unit {
	void *device;
	uint64_t base;
	const char *scope;		/* of a vtd-unit: see scope.c */
	struct bits cap, ecap;
	struct queue queue;
	struct faults faults;
	void **functions;		/* QEMU's functions for its registers: see registers.c */
	uint64_t masks[MASKS];		/* its reserved bits: see masks.c */
};

/*
 * type.c: the new type has the size and the interfaces of a model, which is a type of QEMU's. It
 * differs from its parent by what is set in its class, which is returned, afterwards.
 */
void *type_register(const char *name, const char *parent, const char *model,
		    const char *model_parent);
void add_property(void *class, const char *name, const char *text,
		  void (*set)(void *device, const char *value, void **errp));

/* unit.c: units have the order in which they were made; there is NULL after the last. */
void unit_init(void);
struct unit *unit_of(void *device);
struct unit *unit_at(size_t index);

/*
 * registers.c: registers_read() and registers_write() are the accesses of QEMU's unit, without
 * what is added here. registers_table() makes a table of functions for a region, from the table of
 * a unit's registers, which allows 4 and 8 bytes.
 */
#define TABLE_COPIED 12
uint64_t registers_read(const struct unit *unit, uint64_t at, unsigned int size);
void registers_write(const struct unit *unit, uint64_t at, uint64_t value, unsigned int size);
void registers_table(const struct unit *unit, void **table,
		     uint64_t (*read)(void *data, uint64_t at, unsigned int size),
		     void (*write)(void *data, uint64_t at, uint64_t value, unsigned int size));
void registers_init(void *class);
void registers_open(struct unit *unit);
void log_work_of(const struct unit *unit);

/* queue.c: whether it takes a write; what follows from one; and what is read instead of a value */
void queue_init(void *class);
void queue_open(struct unit *unit);
bool queue_takes(struct unit *unit, uint64_t at, uint64_t value);
void queue_written(struct unit *unit, uint64_t at, uint64_t value);
uint64_t queue_read(struct unit *unit, uint64_t at, uint64_t value);

/*
 * fault.c: as queue.c. fault_event() sends the event, unless FSTS had bits of an earlier one, which
 * fault_status() returns.
 */
uint32_t fault_status(const struct unit *unit);
void fault_event(struct unit *unit, uint32_t earlier);
bool fault_takes(struct unit *unit, uint64_t at, uint64_t value, unsigned int size);
void fault_written(struct unit *unit, uint64_t at, uint64_t value);
uint64_t fault_read(const struct unit *unit, uint64_t at, uint64_t value, unsigned int size);

/* scope.c: scope_unit() returns the unit of a device, or NULL. */
void *scope_unit(void *device);
void scope_init(const struct unit *first);
void scope_take(const struct unit *unit, const struct unit *first);

/* masks.c: masks_after() takes what masks_before() returned before the unit was made. */
void masks_init(void);
void masks_use(const struct unit *unit);
uint64_t *masks_before(void);
void masks_after(uint64_t *before, struct unit *unit);

#endif
