// SPDX-License-Identifier: GPL-2.0
/*
 * vfio_forge MODE BDF ADDRESS - a user lets vtd-requester (selftests/qemu) send an
 * interrupt request of the user's choice, with data 0. It names itself as the sender,
 * which the DMA of QEMU's own devices does not.
 */
#include "vfio_user.h"

/* Registers of 64 bits. */
#define REQUESTER_MAGIC		0
#define REQUESTER_COMMAND	(0x08 / 8)
#define REQUESTER_STATUS	(0x10 / 8)
#define REQUESTER_ADDRESS	(0x18 / 8)
#define REQUESTER_VALUE		(0x20 / 8)
#define REQUESTER_FLAGS		(0x30 / 8)
#define REQUESTER_COUNT		(0x38 / 8)
#define MAGIC			0x7165722d647476UL
#define SEND_INTERRUPT		5

int main(int argc, char **argv)
{
	volatile uint64_t *bar;
	struct user u = { 0 };

	if (argc != 4) {
		fprintf(stderr, "usage: vfio_forge type1|iommufd BDF ADDRESS\n");
		return 2;
	}
	u.bdf = argv[2];
	open_device(&u, argv[1]);
	open_bar(&u);
	bar = (volatile uint64_t *)u.bar;
	claim(&u, bar[REQUESTER_MAGIC] == MAGIC, "the device is a requester");
	bar[REQUESTER_ADDRESS] = strtoul(argv[3], NULL, 0);
	bar[REQUESTER_VALUE] = 0;
	bar[REQUESTER_FLAGS] = 0;
	bar[REQUESTER_COUNT] = 1;
	bar[REQUESTER_COMMAND] = SEND_INTERRUPT;
	printf("note status %lu\n", bar[REQUESTER_STATUS]);
	return u.failed;
}
