// SPDX-License-Identifier: GPL-2.0
/*
 * vfio_join COUNT BDF BDF - that many times, a user opens two devices behind different units with
 * one address space, both reach its memory, and the user closes everything. Every second time it is
 * a container, otherwise an IOAS.
 */
#include "vfio_pair.h"

#define IOVA	(64 * GIB)

static void closes(struct user *u)
{
	if (munmap((void *)u->bar, PAGE) || close(u->device) || (u->group && close(u->group)))
		die("closing");
}

static int joins(const char *mode, char **bdfs, void *memory)
{
	struct pair p = { 0 };
	int good;

	open_first(&p, mode, bdfs[0], bdfs[1]);
	errno = open_second(&p);
	if (errno)
		die("the second device");
	open_bar(&p.first);
	open_bar(&p.second);
	good = !map(&p.first, memory, IOVA, PAGE) && both_reach(&p, IOVA, memory);
	closes(&p.second);
	closes(&p.first);
	return good & !close(p.first.iommu);
}

int main(int argc, char **argv)
{
	struct user none = { 0 };
	int i, count = argc == 4 ? atoi(argv[1]) : 0, good = 1;
	void *memory;

	if (count <= 0) {
		fprintf(stderr, "usage: vfio_join COUNT BDF BDF\n");
		return 2;
	}
	memory = get_memory(PAGE);
	for (i = 0; i < count && good; i++)
		good = joins(i % 2 ? "type1" : "iommufd", argv + 2, memory);
	printf("note joined %d times\n", i);
	claim(&none, good && i == count, "two devices join many times");
	return none.failed;
}
