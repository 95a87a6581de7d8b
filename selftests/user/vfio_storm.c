// SPDX-License-Identifier: GPL-2.0
/*
 * vfio_storm BDF SECONDS - an ordinary user who has iommu-testdev through iommufd
 * makes it raise faults for that long, and detaches it from its domain and attaches it
 * again after every few of them. Prints how often; fails if a write to an unmapped
 * address was not refused.
 */
#include <time.h>

#include "vfio_user.h"

#define UNPRIVILEGED	65534
#define BURST		10
#define NOWHERE		(300 * GIB)

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void attach_again(struct user *u)
{
	struct vfio_device_detach_iommufd_pt detach = { .argsz = sizeof(detach) };
	/* The kernel writes the id of what it attached there. */
	struct vfio_device_attach_iommufd_pt attach = {
		.argsz = sizeof(attach), .pt_id = u->ioas,
	};

	if (ioctl(u->device, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach) ||
	    ioctl(u->device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach))
		die("attaching again");
}

int main(int argc, char **argv)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	struct user u = { .bdf = argv[1] };
	long rounds = 0, refusals = 0;
	double end;
	int i;

	if (argc != 3) {
		fprintf(stderr, "usage: vfio_storm BDF SECONDS\n");
		return 2;
	}
	open_device(&u, "iommufd");
	open_bar(&u);
	if (setgid(UNPRIVILEGED) || setuid(UNPRIVILEGED))
		die("becoming an ordinary user");
	for (end = now() + atoi(argv[2]); now() < end; rounds++) {
		for (i = 0; i < BURST; i++)
			refusals += refused(&u, NOWHERE + i * PAGE);
		nanosleep(&pause, NULL);
		attach_again(&u);
	}
	printf("%ld rounds, %ld of %ld writes refused\n", rounds, refusals, rounds * BURST);
	return !rounds || refusals != rounds * BURST;
}
