// SPDX-License-Identifier: GPL-2.0
/*
 * The invalidation queue of a unit that is held or slow, or answers a descriptor with an error.
 * QEMU's unit reads all descriptors up to the tail within the write of IQT. Here it gets them one
 * by one, by tails that end after the next one, and the guest reads the tail that it wrote. A
 * descriptor that is not to be executed is replaced in memory while QEMU's unit reads it.
 *
 * An invalidation in a device that is not answered lets the next wait descriptor wait. When the
 * time is over, that one and all later ones up to the tail are discarded, ITE is set, and no
 * descriptor is read until it is cleared.
 */
#include <string.h>

#include "layout.h"
#include "qemu.h"
#include "requester.h"

enum {
	GSTS = 0x1c, FSTS = 0x34, IQH = 0x80, IQT = 0x88, IQA = 0x90, IQERCD = 0xb0,
};

#define QUEUE_ENABLED (1u << 26)
#define IQE (1u << 4)
#define ICE (1u << 5)
#define ITE (1u << 6)
#define WIDE (1u << 11)

enum { DEVICE_TLB = 3, WAIT = 5, DEVICE_TLB_PASID = 8 };
enum { NO_ERROR, ERROR_IQE, ERROR_ITE, ERROR_WAIT_ITE, ERROR_WAIT_ICE };

#define CLOCK_OF_THE_GUEST 1
#define MICROSECOND 1000
#define NEVER_ANSWERED INT64_MAX
#define MOST_MICROSECONDS 60000000

static const uint64_t invalid[4] = { 0xe };
static const uint64_t empty_wait[4] = { WAIT | 1 << 6 };

static int64_t now(void)
{
	return qemu.qemu_clock_get_ns(CLOCK_OF_THE_GUEST);
}

static bool is_enabled(struct unit *unit)
{
	if (registers_read(unit, GSTS, 4) & QUEUE_ENABLED)
		return true;
	unit->queue.waits = false;
	unit->queue.unanswered = false;
	unit->queue.status = 0;
	return false;
}

static struct requester *requester_by_source(const struct unit *unit, uint16_t source)
{
	struct requester *requester;

	for (size_t i = 0; (requester = requester_at(i)); i++)
		if (requester->device && requester->unit == unit &&
		    qemu.pci_requester_id(requester->device) == source)
			return requester;
	return NULL;
}

/* Whether QEMU's unit may read the queue as it does without this object. */
static bool is_plain(const struct unit *unit)
{
	const struct queue *queue = &unit->queue;
	struct requester *requester;

	if (queue->held || queue->delay || queue->error || queue->waits || queue->status)
		return false;
	for (size_t i = 0; (requester = requester_at(i)); i++)
		if (requester->device && requester->unit == unit &&
		    requester->registers[R_ANSWERS] >= LATE)
			return false;
	return true;
}

static bool is_stopped(const struct unit *unit)
{
	return unit->queue.held || (unit->queue.status & ITE) ||
	       (registers_read(unit, FSTS, 4) & IQE);
}

static unsigned int descriptor_size(const struct unit *unit)
{
	return registers_read(unit, IQA, 8) & WIDE ? 32 : 16;
}

static void descriptor(const struct unit *unit, uint64_t head, void *words, bool write)
{
	uint64_t base = registers_read(unit, IQA, 8) & -4096ull;

	qemu.address_space_rw(qemu.address_space_memory, base + head, 0, words,
			      descriptor_size(unit), write);
}

/* Lets QEMU's unit read one descriptor; returns whether it accepted it. */
static bool pass(struct unit *unit, uint64_t head)
{
	uint64_t size = 4096ull << (registers_read(unit, IQA, 8) & 7);
	uint64_t next = (head + descriptor_size(unit)) % size;

	registers_write(unit, IQT, next, 8);
	return registers_read(unit, IQH, 8) == next;
}

static bool pass_instead(struct unit *unit, uint64_t head, const uint64_t *other)
{
	uint64_t words[4], replaced[4];
	bool accepted;

	memcpy(replaced, other, sizeof(replaced));
	descriptor(unit, head, words, false);
	descriptor(unit, head, replaced, true);
	accepted = pass(unit, head);
	descriptor(unit, head, words, true);
	return accepted;
}

/* The requester's id is in bits 47:32 of the record for ITE; for ICE none is known. */
static void set_error_bit(struct unit *unit, uint32_t bit, uint16_t source)
{
	struct queue *queue = &unit->queue;
	uint32_t earlier = fault_status(unit);

	queue->status |= bit;
	queue->record = queue->sourceless ? 0 : (uint64_t)source << 32;
	qemu.qemu_log("vtd_unit 0x%llx error 0x%x source 0x%x\n", (unsigned long long)unit->base,
		      bit, source);
	fault_event(unit, earlier);
}

static void time_out(struct unit *unit)
{
	bool accepted = true;
	uint64_t head, words[4];

	unit->queue.unanswered = false;
	while (accepted && (head = registers_read(unit, IQH, 8)) != unit->queue.tail) {
		descriptor(unit, head, words, false);
		if ((words[0] & 0xf) == WAIT)
			accepted = pass_instead(unit, head, empty_wait);
		else
			accepted = pass(unit, head);
	}
	set_error_bit(unit, ITE, unit->queue.source);
}

static void answer(struct unit *unit)
{
	struct requester *requester;

	unit->queue.unanswered = false;
	if (unit->queue.next < unit->queue.answered)
		unit->queue.next = unit->queue.answered;
	for (size_t i = 0; (requester = requester_at(i)); i++)
		if (requester->device && requester->unit == unit)
			requester_answer(requester);
}

/* Returns when the next thing happens to the invalidations in devices. */
static int64_t answer_time(const struct queue *queue)
{
	return queue->answered < queue->expires ? queue->answered : queue->expires;
}

/* Notes when a device answers the invalidation that it is about to get. */
static void note_device(struct unit *unit, uint64_t word, int64_t time)
{
	bool with_pasid = (word & 0xf) == DEVICE_TLB_PASID;
	uint16_t source = (uint16_t)(word >> (with_pasid ? 16 : 32));
	struct requester *requester = requester_by_source(unit, source);
	struct queue *queue = &unit->queue;
	int64_t answered = time;

	if (requester && requester->registers[R_ANSWERS] == LATE)
		answered += (int64_t)requester->registers[R_DELAY] * MICROSECOND;
	if (queue->error == ERROR_ITE || (requester && requester->registers[R_ANSWERS] == NEVER))
		answered = NEVER_ANSWERED;
	if (queue->error == ERROR_ITE)
		queue->error = NO_ERROR;
	if (answered == time)
		return;
	if (!queue->unanswered || answered > queue->answered) {
		queue->answered = answered;
		queue->source = source;
	}
	if (!queue->unanswered)
		queue->expires = time + (queue->time_out ?: DEFAULT_TIME_OUT * MICROSECOND);
	queue->unanswered = true;
}

/* Reads one descriptor, or returns when that is to be done. */
static int64_t step(struct unit *unit, int64_t time)
{
	struct queue *queue = &unit->queue;
	uint64_t head = registers_read(unit, IQH, 8), words[4];
	unsigned int type;

	if (head == queue->tail) {
		queue->waits = queue->unanswered;
		return queue->waits ? answer_time(queue) : 0;
	}
	descriptor(unit, head, words, false);
	type = words[0] & 0xf;
	if (type == WAIT && queue->unanswered)
		return answer_time(queue);
	if (time < queue->next)
		return queue->next;
	queue->next += queue->delay;
	if (queue->error == ERROR_IQE) {
		queue->error = NO_ERROR;
		pass_instead(unit, head, invalid);
		return 0;
	}
	if (type == WAIT && queue->error >= ERROR_WAIT_ITE) {
		pass_instead(unit, head, empty_wait);
		set_error_bit(unit, queue->error == ERROR_WAIT_ITE ? ITE : ICE, 0);
		queue->error = NO_ERROR;
		return 0;
	}
	if (type == DEVICE_TLB || type == DEVICE_TLB_PASID)
		note_device(unit, words[0], time);
	pass(unit, head);
	return 0;
}

static void advance(struct unit *unit)
{
	struct queue *queue = &unit->queue;

	while (queue->waits && !is_stopped(unit)) {
		int64_t time = now(), next;

		if (queue->unanswered && time >= queue->answered)
			answer(unit);
		if (queue->unanswered && time >= queue->expires) {
			time_out(unit);
			break;
		}
		next = step(unit, time);
		if (!next)
			continue;
		if (queue->unanswered && answer_time(queue) < next)
			next = answer_time(queue);
		qemu.timer_mod_ns(queue->timer, next);
		break;
	}
}

static void expired(void *data)
{
	struct unit *unit = data;

	if (is_enabled(unit))
		advance(unit);
}

bool queue_takes(struct unit *unit, uint64_t at, uint64_t value)
{
	struct queue *queue = &unit->queue;

	if (at != IQT || !is_enabled(unit) || is_plain(unit))
		return false;
	if (!queue->waits)
		queue->tail = registers_read(unit, IQT, 8);
	if (registers_read(unit, IQH, 8) == queue->tail)
		queue->next = now() + queue->delay;
	queue->waits = true;
	queue->tail = value;
	qemu.qemu_log("vtd_unit 0x%llx queued 0x%llx\n", (unsigned long long)unit->base,
		      (unsigned long long)value);
	advance(unit);
	return true;
}

void queue_written(struct unit *unit, uint64_t at, uint64_t value)
{
	struct queue *queue = &unit->queue;

	if (at != FSTS)
		return;
	queue->status &= ~(uint32_t)value;
	if (is_enabled(unit))
		advance(unit);
}

uint64_t queue_read(struct unit *unit, uint64_t at, uint64_t value)
{
	const struct queue *queue = &unit->queue;

	switch (at) {
	case IQT:
		return is_enabled(unit) && queue->waits ? queue->tail : value;
	case FSTS:
		return is_enabled(unit) ? value | queue->status : value;
	case IQERCD:
		return queue->record;
	case IQERCD + 4:
		return queue->record >> 32;
	}
	return value;
}

void queue_open(struct unit *unit)
{
	qemu.timer_init_full(unit->queue.timer, NULL, CLOCK_OF_THE_GUEST, 1, 0, expired, unit);
	unit->queue.opened = true;
}

static void set_queue(void *device, const char *value, void **errp)
{
	struct unit *unit = unit_of(device);

	if (strcmp(value, "held") && strcmp(value, "step") && strcmp(value, "runs"))
		usage("queue=%s is neither held nor step nor runs", value);
	unit->queue.held = !strcmp(value, "held");
	if (unit->queue.opened && is_enabled(unit))
		advance(unit);
	unit->queue.held = strcmp(value, "runs");
}

static void set_delay(void *device, const char *value, void **errp)
{
	unit_of(device)->queue.delay = MICROSECOND * parse_number("queue-delay", value,
								  MOST_MICROSECONDS);
}

static void set_error(void *device, const char *value, void **errp)
{
	static const char *const errors[] = { "none", "iqe", "ite", "wait-ite", "wait-ice" };

	for (int i = 0; i < 5; i++) {
		if (strcmp(value, errors[i]))
			continue;
		unit_of(device)->queue.error = i;
		return;
	}
	usage("queue-error=%s is none of none, iqe, ite, wait-ite and wait-ice", value);
}

static void set_ite_time(void *device, const char *value, void **errp)
{
	unit_of(device)->queue.time_out = MICROSECOND * parse_number("ite-time", value,
								     MOST_MICROSECONDS);
}

static void set_ite_source(void *device, const char *value, void **errp)
{
	unit_of(device)->queue.sourceless = !parse_switch("ite-source", value);
}

void queue_init(void *class)
{
	add_property(class, "queue", "held: no descriptor is read; step: once; or runs", set_queue);
	add_property(class, "queue-delay", "microseconds that a descriptor takes", set_delay);
	add_property(class, "queue-error", "none, iqe, ite, wait-ite or wait-ice", set_error);
	add_property(class, "ite-time", "microseconds until a device's answer is missed",
		     set_ite_time);
	add_property(class, "ite-source", "whether ITE comes with the requester's id",
		     set_ite_source);
}
