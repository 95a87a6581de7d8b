/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A tiny NVMe driver in user space: queues, data and lists of pages lie in
 * memory that VFIO (type1) or iommufd mapped.
 */
#ifndef VTD_VFIO_NVME_H
#define VTD_VFIO_NVME_H

#include "vfio_user.h"

#define CAP		0x00
#define CC		0x14
#define CSTS		0x1c
#define AQA		0x24
#define ASQ		0x28
#define ACQ		0x30
#define DOORBELLS	0x1000

#define CC_ENABLE	(1 | 6 << 16 | 4 << 20)	/* entries of 64 and 16 bytes */
#define CSTS_READY	1

#define ADMIN_CREATE_SQ	0x01
#define ADMIN_CREATE_CQ	0x05
#define ADMIN_IDENTIFY	0x06
#define IO_WRITE	0x01
#define IO_READ		0x02

#define ENTRIES		8
#define SPAN		(64 * KIB)	/* moved by one command, over a list of pages */
#define BLOCK		512
#define WHERE		(64 * MIB / BLOCK)
#define PATIENCE_MS	10000
#define NO_ANSWER	0xffff

/* IOVAs: queues and data are far apart, so that nothing works by chance. */
#define QUEUES		(3 * GIB)	/* below 4 GiB, at page 0..3 */
#define IDENTITY	(80 * GIB)
#define LIST		(96 * GIB)
#define OUT		(100 * GIB)
#define IN		(200 * GIB)

struct queue {
	uint32_t *commands;		/* 16 words each */
	volatile uint32_t *completions;	/* 4 words each */
	unsigned int number, tail, head, phase;
};

struct disk {
	struct user u;
	struct queue admin, io;
	char *queues, *identity, *out, *in;
	uint64_t *list;
};

static inline void set(struct disk *d, unsigned int at, uint32_t value)
{
	d->u.bar[at / 4] = value;
}

static inline void set64(struct disk *d, unsigned int at, uint64_t value)
{
	set(d, at, value);
	set(d, at + 4, value >> 32);
}

static inline int becomes_ready(struct disk *d, uint32_t ready)
{
	int ms;

	for (ms = 0; (d->u.bar[CSTS / 4] & CSTS_READY) != ready; ms++) {
		if (ms == PATIENCE_MS * patience())
			return 0;
		usleep(1000);
	}
	return 1;
}

static inline void doorbell(struct disk *d, unsigned int which, uint32_t value)
{
	unsigned int stride = 4 << (d->u.bar[CAP / 4 + 1] & 0xf);

	set(d, DOORBELLS + which * stride, value);
}

/* Runs one command; returns its status, or NO_ANSWER. */
static inline unsigned int command(struct disk *d, struct queue *q, const uint32_t *words)
{
	volatile uint32_t *done = q->completions + 4 * q->head;
	unsigned int status;
	int ms;

	memcpy(q->commands + 16 * q->tail, words, 64);
	q->tail = (q->tail + 1) % ENTRIES;
	__sync_synchronize();
	doorbell(d, 2 * q->number, q->tail);
	for (ms = 0; (done[3] >> 16 & 1) != q->phase; ms++) {
		if (ms == PATIENCE_MS * patience())
			return NO_ANSWER;
		usleep(1000);
	}
	status = done[3] >> 17;
	q->head = (q->head + 1) % ENTRIES;
	q->phase ^= !q->head;
	doorbell(d, 2 * q->number + 1, q->head);
	return status;
}

static inline int enable(struct disk *d)
{
	set(d, CC, 0);
	if (!becomes_ready(d, 0))
		return 0;
	d->admin = (struct queue) {
		.commands = (void *)d->queues,
		.completions = (void *)(d->queues + PAGE), .phase = 1,
	};
	d->io = (struct queue) {
		.commands = (void *)(d->queues + 2 * PAGE),
		.completions = (void *)(d->queues + 3 * PAGE), .number = 1, .phase = 1,
	};
	memset(d->queues, 0, 4 * PAGE);
	set(d, AQA, (ENTRIES - 1) << 16 | (ENTRIES - 1));
	set64(d, ASQ, QUEUES);
	set64(d, ACQ, QUEUES + PAGE);
	set(d, CC, CC_ENABLE);
	return becomes_ready(d, CSTS_READY);
}

static inline unsigned int identify(struct disk *d)
{
	uint32_t words[16] = { ADMIN_IDENTIFY, [6] = (uint32_t)IDENTITY, IDENTITY >> 32, [10] = 1 };

	return command(d, &d->admin, words);
}

static inline unsigned int make_queue(struct disk *d, uint32_t opcode, uint64_t iova,
				      uint32_t flags)
{
	uint32_t words[16] = {
		opcode, [6] = iova, iova >> 32, [10] = (ENTRIES - 1) << 16 | 1, flags,
	};

	return command(d, &d->admin, words);
}

/* Move SPAN bytes: the first page is named, the others are in a list. */
static inline unsigned int move(struct disk *d, uint32_t opcode, uint64_t iova)
{
	uint32_t words[16] = {
		opcode, 1, [6] = iova, iova >> 32, (uint32_t)LIST, LIST >> 32,
		[10] = WHERE, 0, SPAN / BLOCK - 1,
	};
	unsigned int i;

	for (i = 1; i < SPAN / PAGE; i++)
		d->list[i - 1] = iova + i * PAGE;
	return command(d, &d->io, words);
}

#endif /* VTD_VFIO_NVME_H */
