// SPDX-License-Identifier: GPL-2.0
/*
 * vfio_nvme MODE BDF - a tiny NVMe driver in user space: queues, data and lists
 * of pages all lie in memory that VFIO (type1) or iommufd mapped. Blocks at 64
 * MiB of the disk are overwritten.
 */
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
#define SPAN		(64 * KIB)	/* moved at once, over a list of pages */
#define BLOCK		512
#define WHERE		(64 * MIB / BLOCK)
#define PATIENCE_MS	10000
#define NO_ANSWER	0xffff

/* IOVAs: queues and data far from each other, so that nothing is by chance. */
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

static void set(struct disk *d, unsigned int at, uint32_t value)
{
	d->u.bar[at / 4] = value;
}

static void set64(struct disk *d, unsigned int at, uint64_t value)
{
	set(d, at, value);
	set(d, at + 4, value >> 32);
}

static int becomes_ready(struct disk *d, uint32_t ready)
{
	int ms;

	for (ms = 0; (d->u.bar[CSTS / 4] & CSTS_READY) != ready; ms++) {
		if (ms == PATIENCE_MS)
			return 0;
		usleep(1000);
	}
	return 1;
}

static void doorbell(struct disk *d, unsigned int which, uint32_t value)
{
	unsigned int stride = 4 << (d->u.bar[CAP / 4 + 1] & 0xf);

	set(d, DOORBELLS + which * stride, value);
}

/* One command and its status; NO_ANSWER if there was none. */
static unsigned int command(struct disk *d, struct queue *q, const uint32_t *words)
{
	volatile uint32_t *done = q->completions + 4 * q->head;
	unsigned int status;
	int ms;

	memcpy(q->commands + 16 * q->tail, words, 64);
	q->tail = (q->tail + 1) % ENTRIES;
	__sync_synchronize();
	doorbell(d, 2 * q->number, q->tail);
	for (ms = 0; (done[3] >> 16 & 1) != q->phase; ms++) {
		if (ms == PATIENCE_MS)
			return NO_ANSWER;
		usleep(1000);
	}
	status = done[3] >> 17;
	q->head = (q->head + 1) % ENTRIES;
	q->phase ^= !q->head;
	doorbell(d, 2 * q->number + 1, q->head);
	return status;
}

static int enable(struct disk *d)
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

static unsigned int identify(struct disk *d)
{
	uint32_t words[16] = { ADMIN_IDENTIFY, [6] = (uint32_t)IDENTITY, IDENTITY >> 32, [10] = 1 };

	return command(d, &d->admin, words);
}

static unsigned int make_queue(struct disk *d, uint32_t opcode, uint64_t iova, uint32_t flags)
{
	uint32_t words[16] = {
		opcode, [6] = iova, iova >> 32, [10] = (ENTRIES - 1) << 16 | 1, flags,
	};

	return command(d, &d->admin, words);
}

/* Move SPAN bytes: the first page is named, the others are in a list. */
static unsigned int move(struct disk *d, uint32_t opcode, uint64_t iova)
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

static int is_all(const char *memory, char value)
{
	size_t i;

	for (i = 0; i < SPAN; i++)
		if (memory[i] != value)
			return 0;
	return 1;
}

static void play(struct disk *d)
{
	struct user *u = &d->u;
	unsigned int i;

	claim(u, !map(u, d->queues, QUEUES, 4 * PAGE) && !map(u, d->identity, IDENTITY, PAGE) &&
	      !map_as(u, d->list, LIST, PAGE, 1, 0) && !map_as(u, d->out, OUT, SPAN, 1, 0) &&
	      !map(u, d->in, IN, SPAN), "queues and data are mapped");
	claim(u, enable(d), "the controller starts");
	claim(u, !identify(d) && !memcmp(d->identity + 4, "vtd ", 4), "it says who it is");
	claim(u, !make_queue(d, ADMIN_CREATE_CQ, QUEUES + 3 * PAGE, 1) &&
	      !make_queue(d, ADMIN_CREATE_SQ, QUEUES + 2 * PAGE, 1 << 16 | 1),
	      "a pair of queues is made");
	for (i = 0; i < SPAN; i++)
		d->out[i] = rand();
	claim(u, !move(d, IO_WRITE, OUT), "64 KiB are written from memory that it may only read");
	claim(u, !move(d, IO_READ, IN) && !memcmp(d->in, d->out, SPAN),
	      "and come back in other memory");
	memset(d->in, 'x', SPAN);
	claim(u, unmap(u, IN, SPAN), "that memory is unmapped");
	(void)move(d, IO_READ, IN);
	claim(u, is_all(d->in, 'x'), "and not reached any more");
	/* A report tells what is known when it is written, by a thread of its own. */
	usleep(500 * 1000);
	claim(u, !map(u, d->in, IN, SPAN) && !move(d, IO_READ, IN) && !memcmp(d->in, d->out, SPAN),
	      "mapped again it is");
	memcpy(d->in, d->out, SPAN);
	(void)move(d, IO_READ, OUT);
	claim(u, !memcmp(d->in, d->out, SPAN) && !move(d, IO_READ, IN),
	      "memory that it may only read is not written");
	memset(d->in, 'x', SPAN);
	claim(u, !ioctl(u->device, VFIO_DEVICE_RESET), "the function is reset");
	open_bar(u);
	claim(u, enable(d) && !make_queue(d, ADMIN_CREATE_CQ, QUEUES + 3 * PAGE, 1) &&
	      !make_queue(d, ADMIN_CREATE_SQ, QUEUES + 2 * PAGE, 1 << 16 | 1) &&
	      !move(d, IO_READ, IN) && !memcmp(d->in, d->out, SPAN),
	      "and started anew finds all mappings as they were");
	set(d, CC, 0);
	claim(u, becomes_ready(d, 0), "the controller stops");
}

int main(int argc, char **argv)
{
	struct disk d = { 0 };

	if (argc != 3) {
		fprintf(stderr, "usage: vfio_nvme type1|iommufd BDF\n");
		return 2;
	}
	d.u.bdf = argv[2];
	d.queues = get_memory(4 * PAGE);
	d.identity = get_memory(PAGE);
	d.list = get_memory(PAGE);
	d.out = get_memory(SPAN);
	d.in = get_memory(SPAN);
	open_device(&d.u, argv[1]);
	open_bar(&d.u);
	play(&d);
	return d.u.failed;
}
