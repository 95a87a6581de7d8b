// SPDX-License-Identifier: GPL-2.0
/*
 * vfio_dma MODE BDF - a user of VFIO who has QEMU's iommu-testdev.
 *
 * MODE is type1 (a container) or iommufd. The device is bound to vfio-pci. Each
 * claim is a line "ok WHAT" or "fail WHAT"; the exit status is 1 if any failed
 * and 2 if the device could not be claimed, with the reason on standard error.
 */
#include "vfio_user.h"

#define MEMORY		(4 * MIB)
#define IOVA		(64 * GIB)

static void play(struct user *u, void *memory)
{
	claim(u, denied(u, IOVA, memory), "nothing is mapped at first");
	claim(u, !map(u, memory, IOVA, MEMORY), "memory is mapped");
	claim(u, lands(u, IOVA, memory), "the first word is reached");
	claim(u, lands(u, IOVA + MEMORY - 4, memory + MEMORY - 4), "the last word is reached");
	claim(u, denied(u, IOVA + MEMORY, memory), "the page after it is refused");
	claim(u, denied(u, IOVA - 4096, memory), "the page before it is refused");
	claim(u, unmap(u, IOVA, MEMORY), "memory is unmapped");
	claim(u, denied(u, IOVA, memory), "the first word is refused afterwards");
	claim(u, denied(u, IOVA + MEMORY - 4, memory + MEMORY - 4),
	      "the last word is refused afterwards");
	claim(u, !map_as(u, memory, IOVA, MEMORY, 1, 0), "memory is mapped read-only");
	claim(u, denied(u, IOVA + MIB, memory + MIB), "a write to it is refused");
	claim(u, unmap(u, IOVA, MEMORY), "it is unmapped");
	claim(u, !map(u, memory, 4096, MEMORY) && lands(u, 4096, memory),
	      "a low address can be mapped");
	claim(u, !map(u, memory, IOVA, MEMORY) && lands(u, IOVA, memory),
	      "the same memory is mapped twice");
	claim(u, unmap(u, 4096, MEMORY) && lands(u, IOVA, memory),
	      "one of two mappings is undone, the other stays");
}

int main(int argc, char **argv)
{
	struct user u = { 0 };
	void *memory;

	if (argc != 3) {
		fprintf(stderr, "usage: vfio_dma type1|iommufd BDF\n");
		return 2;
	}
	u.bdf = argv[2];
	memory = get_memory(MEMORY);
	open_device(&u, argv[1]);
	open_bar(&u);
	play(&u, memory);
	return u.failed;
}
