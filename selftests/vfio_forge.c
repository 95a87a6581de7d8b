// SPDX-License-Identifier: GPL-2.0
/*
 * vfio_forge MODE BDF ADDRESS - a user's edu writes four bytes of zero to an address
 * that its user has not mapped, such as that of an interrupt request.
 */
#include "vfio_user.h"

#define FROM	(70 * GIB)
#define BYTES	4

int main(int argc, char **argv)
{
	struct user u = { 0 };
	void *zeros;

	if (argc != 4) {
		fprintf(stderr, "usage: vfio_forge type1|iommufd BDF ADDRESS\n");
		return 2;
	}
	u.bdf = argv[2];
	zeros = get_memory(PAGE);
	open_device(&u, argv[1]);
	open_bar(&u);
	claim(&u, !map(&u, zeros, FROM, PAGE) && edu_copies(&u, FROM, EDU_BUFFER, BYTES, 0),
	      "the device has read what it writes");
	claim(&u, edu_copies(&u, EDU_BUFFER, strtoul(argv[3], NULL, 0), BYTES, EDU_TO_MEMORY),
	      "the device has written it");
	return u.failed;
}
