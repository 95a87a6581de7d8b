/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A tiny driver in user space for a virtual function of an igb (82576), whose
 * physical function the kernel has. They communicate by mailbox, then the virtual
 * function sends from a separate ring.
 */
#ifndef VTD_VFIO_IGBVF_H
#define VTD_VFIO_IGBVF_H

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
#define RING_ENTRIES	128
#define PACKET_BYTES	64

#define RING		(33 * GIB)
#define PACKET		(7 * GIB)
#define ANSWER_MS	5000
#define SENDS_MS	500

struct descriptor {
	uint64_t address;
	uint32_t command;
	volatile uint32_t status;
};

static inline void write_register(struct user *u, unsigned int at, uint32_t value)
{
	u->bar[at / 4] = value;
}

static inline int waits_for(struct user *u, unsigned int at, uint32_t bits)
{
	int ms;

	for (ms = 0; !(u->bar[at / 4] & bits); ms++) {
		if (ms == ANSWER_MS * patience())
			return 0;
		usleep(1000);
	}
	return 1;
}

/* Tell the physical function's driver that we begin; it lets us send then. */
static inline int greet(struct user *u)
{
	uint32_t answer;
	int ms;

	write_register(u, CONTROL, CONTROL_RESET);
	usleep(10000);
	for (ms = 0; ms < ANSWER_MS * patience(); ms++) {
		write_register(u, MAILBOX, MAILBOX_OURS);
		if (u->bar[MAILBOX / 4] & MAILBOX_OURS)
			break;
		usleep(1000);
	}
	write_register(u, MESSAGE, VF_RESET);
	write_register(u, MAILBOX, MAILBOX_REQ);
	if (!waits_for(u, MAILBOX, MAILBOX_STATUS))
		return 0;
	answer = u->bar[MESSAGE / 4];
	write_register(u, MAILBOX, MAILBOX_ACK);
	return answer & MESSAGE_KINDS && (answer & ~MESSAGE_KINDS) == VF_RESET;
}

static inline int start_ring(struct user *u)
{
	write_register(u, TXDCTL, 0);
	write_register(u, TDBAL, (uint32_t)RING);
	write_register(u, TDBAH, RING >> 32);
	write_register(u, TDLEN, RING_ENTRIES * sizeof(struct descriptor));
	write_register(u, TDH, 0);
	write_register(u, TDT, 0);
	write_register(u, TXDCTL, QUEUE_ENABLE);
	return waits_for(u, TXDCTL, QUEUE_ENABLE);
}

/* Whether descriptor @i, sent, is written back. */
static inline int sends(struct user *u, struct descriptor *ring, unsigned int i)
{
	int ms;

	ring[i] = (struct descriptor) {
		.address = PACKET, .command = DESCRIPTOR | PACKET_BYTES,
		.status = PACKET_BYTES << 14,
	};
	__sync_synchronize();
	write_register(u, TDT, i + 1);
	for (ms = 0; !(ring[i].status & DONE); ms++) {
		if (ms == SENDS_MS * patience())
			return 0;
		usleep(1000);
	}
	return 1;
}

#endif /* VTD_VFIO_IGBVF_H */
