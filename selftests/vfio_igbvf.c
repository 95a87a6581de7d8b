// SPDX-License-Identifier: GPL-2.0
/*
 * vfio_igbvf MODE BDF - a virtual function of an igb (82576) in user space, its
 * physical function in the hands of the kernel: they talk by mailbox, then the
 * virtual one sends from a ring of its own. The ring's write-backs are its DMA.
 */
#include "vfio_user.h"

#define CONTROL		0x0000
#define CONTROL_RESET	(1 << 26)
#define MAILBOX		0x0c40
#define MAILBOX_REQ	0x01
#define MAILBOX_ACK	0x02
#define MAILBOX_OURS	0x04
#define MAILBOX_STATUS	0x10
#define MESSAGE		0x0800
#define VF_RESET	0x01
#define MESSAGE_KINDS	0xc0000000u	/* yes, or no address of its own */

#define TDBAL		0x3800
#define TDBAH		0x3804
#define TDLEN		0x3808
#define TDH		0x3810
#define TDT		0x3818
#define TXDCTL		0x3828
#define QUEUE_ENABLE	(1 << 25)

/* Advanced data descriptor: end of packet, checksum, report status. */
#define DESCRIPTOR	(0x3 << 20 | 1 << 29 | 1 << 24 | 1 << 25 | 1 << 27)
#define DONE		1
#define ENTRIES		128
#define PACKET_BYTES	64

#define RING		(33 * GIB)
#define PACKET		(7 * GIB)
#define PATIENCE_MS	5000

struct descriptor {
	uint64_t address;
	uint32_t command;
	volatile uint32_t status;
};

static void set(struct user *u, unsigned int at, uint32_t value)
{
	u->bar[at / 4] = value;
}

static int waits_for(struct user *u, unsigned int at, uint32_t bits)
{
	int ms;

	for (ms = 0; !(u->bar[at / 4] & bits); ms++) {
		if (ms == PATIENCE_MS)
			return 0;
		usleep(1000);
	}
	return 1;
}

/* Tell the physical function's driver that we begin; it lets us send then. */
static int greet(struct user *u)
{
	uint32_t answer;
	int ms;

	set(u, CONTROL, CONTROL_RESET);
	usleep(10000);
	for (ms = 0; ms < PATIENCE_MS; ms++) {
		set(u, MAILBOX, MAILBOX_OURS);
		if (u->bar[MAILBOX / 4] & MAILBOX_OURS)
			break;
		usleep(1000);
	}
	set(u, MESSAGE, VF_RESET);
	set(u, MAILBOX, MAILBOX_REQ);
	if (!waits_for(u, MAILBOX, MAILBOX_STATUS))
		return 0;
	answer = u->bar[MESSAGE / 4];
	set(u, MAILBOX, MAILBOX_ACK);
	return answer & MESSAGE_KINDS && (answer & ~MESSAGE_KINDS) == VF_RESET;
}

static int start_ring(struct user *u)
{
	set(u, TXDCTL, 0);
	set(u, TDBAL, (uint32_t)RING);
	set(u, TDBAH, RING >> 32);
	set(u, TDLEN, ENTRIES * sizeof(struct descriptor));
	set(u, TDH, 0);
	set(u, TDT, 0);
	set(u, TXDCTL, QUEUE_ENABLE);
	return waits_for(u, TXDCTL, QUEUE_ENABLE);
}

/* Whether descriptor @i, sent, is written back. */
static int sends(struct user *u, struct descriptor *ring, unsigned int i)
{
	int ms;

	ring[i] = (struct descriptor) {
		.address = PACKET, .command = DESCRIPTOR | PACKET_BYTES,
		.status = PACKET_BYTES << 14,
	};
	__sync_synchronize();
	set(u, TDT, i + 1);
	for (ms = 0; !(ring[i].status & DONE); ms++) {
		if (ms == 500)
			return 0;
		usleep(1000);
	}
	return 1;
}

int main(int argc, char **argv)
{
	struct descriptor *ring;
	struct user u = { 0 };
	unsigned int i, sent = 0;
	char *packet;

	if (argc != 3) {
		fprintf(stderr, "usage: vfio_igbvf type1|iommufd BDF\n");
		return 2;
	}
	u.bdf = argv[2];
	ring = get_memory(PAGE);
	packet = get_memory(PAGE);
	memset(packet, 0xff, PACKET_BYTES);
	open_device(&u, argv[1]);
	open_bar(&u);
	claim(&u, greet(&u), "the driver of the physical function answers");
	claim(&u, !map(&u, ring, RING, PAGE) && !map_as(&u, packet, PACKET, PAGE, 1, 0),
	      "a ring and a packet are mapped");
	claim(&u, start_ring(&u), "the ring starts");
	claim(&u, sends(&u, ring, 0), "a packet is sent and its descriptor written back");
	for (i = 1; i < 33; i++)
		sent += sends(&u, ring, i);
	claim(&u, sent == 32, "32 more are");
	claim(&u, unmap(&u, RING, PAGE), "the ring is unmapped");
	claim(&u, !sends(&u, ring, 33), "and not reached any more");
	claim(&u, !map(&u, ring, RING, PAGE) && start_ring(&u) && sends(&u, ring, 0),
	      "mapped again it is");
	set(&u, TXDCTL, 0);
	return u.failed;
}
