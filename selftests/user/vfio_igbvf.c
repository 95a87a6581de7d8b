// SPDX-License-Identifier: GPL-2.0
/*
 * vfio_igbvf MODE BDF - a virtual function of an igb (82576) in user space, while the
 * kernel has its physical function. They communicate by mailbox, then the virtual
 * function sends from a separate ring. The ring's write-backs are its DMA.
 */
#include "vfio_igbvf.h"

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
	claim(&u, !sends(&u, ring, 33), "an unmapped ring is not reached");
	claim(&u, !map(&u, ring, RING, PAGE) && start_ring(&u) && sends(&u, ring, 0),
	      "mapped again it is");
	write_register(&u, TXDCTL, 0);
	return u.failed;
}
