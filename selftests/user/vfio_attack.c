// SPDX-License-Identifier: GPL-2.0
/*
 * vfio_attack nvme|igbvf BDF ROW [OTHER] - a user makes the device that was given by
 * VFIO (through iommufd) access memory that it must not reach. ROW names the kind of
 * attack; in some the address is one that the user of OTHER has mapped. One line
 * says what was tried and with which result; the exit status is 2 if it could not be
 * tried.
 *
 * Whether a write landed is judged from memory. A read of the disk is judged by the
 * block that it had to write. igb sends away what it reads, so that only the unit can
 * say whether the read was let through ("landed=?").
 */
#include "vfio_nvme.h"
#include "vfio_igbvf.h"

#define VICTIM		(300 * GIB)
#define SECRET		0x5ec2e75au
#define ADMIN_GET_LOG	0x02
#define LOG_HEALTH	0x02
#define REASON_BLOCKED	2
#define REASON_BEYOND	4
#define REASON_WRITE	5
#define REASON_READ	6

struct attack {
	struct disk d;		/* all functions use its user */
	struct descriptor *ring;
	char *packet;
	int is_disk;
	uint32_t *victim;
	/* what is printed */
	uint64_t iova;
	const char *access;
	int reason, warm;
	char landed;
};

static void start(struct attack *a)
{
	struct user *u = &a->d.u;

	if (a->is_disk) {
		if (map(u, a->d.queues, QUEUES, 4 * PAGE) || !enable(&a->d) ||
		    make_queue(&a->d, ADMIN_CREATE_CQ, QUEUES + 3 * PAGE, 1) ||
		    make_queue(&a->d, ADMIN_CREATE_SQ, QUEUES + 2 * PAGE, 1 << 16 | 1))
			die("starting the disk");
	} else if (map(u, a->ring, RING, PAGE) || map_as(u, a->packet, PACKET, PAGE, 1, 0) ||
		   !greet(u) || !start_ring(u)) {
		die("starting the virtual function");
	} else {
		/* A good packet completes what an earlier user's ring left unfinished. */
		(void)sends(u, a->ring, 0);
		if (!start_ring(u))
			die("starting the ring again");
	}
}

/* Write four bytes to @iova. */
static void write_of_disk(struct attack *a, uint64_t iova)
{
	uint32_t words[16] = {
		ADMIN_GET_LOG, 0xffffffff, [6] = iova, iova >> 32, [10] = LOG_HEALTH,
	};

	a->access = "write";
	*a->victim = UNWRITTEN;
	(void)command(&a->d, &a->d.admin, words);
	a->landed = *a->victim == UNWRITTEN ? '0' : '1';
}

/* Read a block from @iova, and check it through other memory. */
static void read_of_disk(struct attack *a, uint64_t iova)
{
	uint32_t words[16] = { IO_WRITE, 1, [6] = iova, iova >> 32, [10] = WHERE };
	volatile uint32_t *got = (void *)a->d.in;

	a->access = "read";
	(void)command(&a->d, &a->d.io, words);
	if (map(&a->d.u, a->d.in, IN, PAGE))
		die("mapping memory for what was read");
	words[0] = IO_READ;
	words[6] = (uint32_t)IN;
	words[7] = IN >> 32;
	*got = UNWRITTEN;
	a->landed = command(&a->d, &a->d.io, words) || *got == UNWRITTEN ? '?' :
		    *got == SECRET ? '1' : '0';
}

/* Read a packet from @iova. */
static void read_of_function(struct attack *a, uint64_t iova)
{
	a->access = "read";
	a->landed = '?';
	a->ring[0] = (struct descriptor) {
		.address = iova, .command = DESCRIPTOR | PACKET_BYTES,
		.status = PACKET_BYTES << 14,
	};
	__sync_synchronize();
	write_register(&a->d.u, TDT, 1);
	usleep(100 * 1000 * patience());
}

static void strike(struct attack *a, uint64_t iova)
{
	a->iova = iova;
	if (a->is_disk)
		write_of_disk(a, iova);
	else
		read_of_function(a, iova);
	a->reason = *a->access == 'w' ? REASON_WRITE : REASON_READ;
}

static void never_mapped(struct attack *a)
{
	start(a);
	strike(a, VICTIM);
}

static void unmapped(struct attack *a)
{
	start(a);
	if (map(&a->d.u, a->victim, VICTIM, PAGE))
		die("mapping");
	strike(a, VICTIM);
	a->warm = a->landed != '0';
	if (!unmap(&a->d.u, VICTIM, PAGE))
		die("unmapping");
	/* The ring has one packet in it: start it again. */
	if (!a->is_disk && !start_ring(&a->d.u))
		die("starting the ring again");
	strike(a, VICTIM);
}

static void read_only(struct attack *a)
{
	start(a);
	if (map_as(&a->d.u, a->victim, VICTIM, PAGE, 1, 0))
		die("mapping");
	strike(a, VICTIM);
}

static void write_only(struct attack *a)
{
	start(a);
	if (map_as(&a->d.u, a->victim, VICTIM, PAGE, 0, 1))
		die("mapping");
	*a->victim = SECRET;
	a->iova = VICTIM;
	if (a->is_disk)
		read_of_disk(a, VICTIM);
	else
		read_of_function(a, VICTIM);
	a->reason = REASON_READ;
}

static void beyond(struct attack *a)
{
	start(a);
	strike(a, 1UL << 48);
	a->reason = REASON_BEYOND;
}

/* A device without any memory first reads its command queue. */
static void look_for_commands(struct attack *a)
{
	a->access = "read";
	a->reason = REASON_BLOCKED;
	a->landed = '0';
	if (a->is_disk) {
		a->iova = QUEUES;
		memset(a->d.queues, 0, 4 * PAGE);
		doorbell(&a->d, 0, 1);
		usleep(100 * 1000 * patience());
		if (*(volatile uint32_t *)(a->d.queues + PAGE + 12))
			a->landed = '1';
	} else {
		a->iova = RING;
		a->landed = sends(&a->d.u, a->ring, 0) ? '1' : '0';
	}
}

/* The page after the window in which a write would be an interrupt. */
static void after_window(struct attack *a)
{
	start(a);
	strike(a, 0xfef00000UL);
}

/* The device was attached and used before, or never. */
static void detached(struct attack *a, int used)
{
	struct vfio_device_detach_iommufd_pt detach = { .argsz = sizeof(detach) };

	if (used)
		start(a);
	if (ioctl(a->d.u.device, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach))
		die("VFIO_DEVICE_DETACH_IOMMUFD_PT");
	if (a->is_disk)
		(void)enable(&a->d);
	else if (!greet(&a->d.u) || !start_ring(&a->d.u))
		die("starting the virtual function");
	look_for_commands(a);
}

/* Another user's device reaches this page at this address; ours does not. */
static void others(struct attack *a, const char *bdf)
{
	struct user other = { .bdf = bdf };
	uint32_t *word = get_memory(PAGE);

	start(a);
	open_device(&other, "iommufd");
	if (map(&other, word, VICTIM, PAGE))
		die("mapping for the other device");
	strike(a, VICTIM);
	if (*a->victim != UNWRITTEN || *word)
		a->landed = '1';
}

int main(int argc, char **argv)
{
	struct attack a = { .landed = '?' };
	const char *row = argc > 3 ? argv[3] : "";

	if (argc < 4) {
		fprintf(stderr, "usage: vfio_attack nvme|igbvf BDF ROW [OTHER]\n");
		return 2;
	}
	a.is_disk = !strcmp(argv[1], "nvme");
	a.d.u.bdf = argv[2];
	a.d.queues = get_memory(4 * PAGE);
	a.d.in = get_memory(PAGE);
	a.ring = get_memory(PAGE);
	a.packet = get_memory(PAGE);
	a.victim = get_memory(PAGE);
	*a.victim = UNWRITTEN;
	open_device(&a.d.u, "iommufd");
	open_bar(&a.d.u);
	if (!strcmp(row, "never-mapped"))
		never_mapped(&a);
	else if (!strcmp(row, "unmapped"))
		unmapped(&a);
	else if (!strcmp(row, "read-only"))
		read_only(&a);
	else if (!strcmp(row, "write-only"))
		write_only(&a);
	else if (!strcmp(row, "beyond-aperture"))
		beyond(&a);
	else if (!strcmp(row, "interrupt-window"))
		after_window(&a);
	else if (!strcmp(row, "detached"))
		detached(&a, 1);
	else if (!strcmp(row, "not-attached"))
		detached(&a, 0);
	else if (argc > 4)
		others(&a, argv[4]);
	else
		die(row);
	printf("access=%s iova=%#lx reason=%d warm=%d landed=%c\n", a.access, a.iova, a.reason,
	       a.warm, a.landed);
	return 0;
}
