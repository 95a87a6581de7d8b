// SPDX-License-Identifier: GPL-2.0
/*
 * vfio_claim MODE BDF - claim a device for a user and print the result: "taken", or
 * "refused" with the error's number. Holds the device until the end of standard
 * input.
 */
#include "vfio_user.h"

int main(int argc, char **argv)
{
	struct user u = { 0 };
	char byte;
	int err;

	if (argc != 3) {
		fprintf(stderr, "usage: vfio_claim type1|iommufd BDF\n");
		return 2;
	}
	u.bdf = argv[2];
	err = try_open(&u, argv[1]);
	if (err) {
		printf("refused %d %s\n", err, strerror(err));
		return 1;
	}
	printf("taken\n");
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}
