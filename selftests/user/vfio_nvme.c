// SPDX-License-Identifier: GPL-2.0
/*
 * vfio_nvme MODE BDF - a tiny NVMe driver in user space: queues, data and lists
 * of pages all lie in memory that VFIO (type1) or iommufd mapped. Blocks at 64
 * MiB of the disk are overwritten.
 */
#include "vfio_nvme.h"

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
	claim(u, !identify(d) && !memcmp(d->identity + 4, "vtd ", 4), "the disk identifies itself");
	claim(u, !make_queue(d, ADMIN_CREATE_CQ, QUEUES + 3 * PAGE, 1) &&
	      !make_queue(d, ADMIN_CREATE_SQ, QUEUES + 2 * PAGE, 1 << 16 | 1),
	      "a pair of queues is created");
	for (i = 0; i < SPAN; i++)
		d->out[i] = rand();
	claim(u, !move(d, IO_WRITE, OUT), "64 KiB are written from memory that it may only read");
	claim(u, !move(d, IO_READ, IN) && !memcmp(d->in, d->out, SPAN),
	      "64 KiB are read back into other memory");
	memset(d->in, 'x', SPAN);
	claim(u, unmap(u, IN, SPAN), "that memory is unmapped");
	(void)move(d, IO_READ, IN);
	claim(u, is_all(d->in, 'x'), "unmapped memory is not reached");
	/* A separate thread writes the report, from what is known at that moment. */
	usleep(500 * 1000 * patience());
	claim(u, !map(u, d->in, IN, SPAN) && !move(d, IO_READ, IN) && !memcmp(d->in, d->out, SPAN),
	      "mapped again it is reached");
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
	      "after a restart the controller finds all mappings unchanged");
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
