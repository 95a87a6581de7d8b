// SPDX-License-Identifier: GPL-2.0
/*
 * vfio_edu MODE BDF - QEMU's edu in user space: its buffer is filled from one page
 * and written to another. The entries of those pages are read from debugfs, with
 * their snoop bits. STAGE=first: they are of a first stage, which has no such bits,
 * and permits no writes alone.
 */
#include "vfio_user.h"

/* Registers of 64 bits, which must be accessed as a whole. */
#define EDU_SOURCE	(0x80 / 8)
#define EDU_TARGET	(0x88 / 8)
#define EDU_COUNT	(0x90 / 8)
#define EDU_COMMAND	(0x98 / 8)
#define EDU_RUN		1
#define EDU_TO_MEMORY	2
#define EDU_BUFFER	0x40000
#define PATIENCE_MS	5000

#define FROM		(70 * GIB)
#define TO		(5 * GIB)

#define LEAF_READ	(1UL << 0)
#define LEAF_WRITE	(1UL << 1)
#define LEAF_SNOOP	(1UL << 11)
#define ECAP_SNOOP	(1UL << 7)
/* Present, user, accessed; for writes also the bits for that and dirty. */
#define FIRST_READ	0x25UL
#define FIRST_WRITE	0x67UL

/* Returns the entry that maps @iova, 0 if there is none. */
static uint64_t leaf_of(struct user *u, uint64_t iova)
{
	uint64_t page, entry, leaf = 0;
	char path[128], line[256], *at;
	FILE *file;

	snprintf(path, sizeof(path),
		 "/sys/kernel/debug/iommu/intel/%s/domain_translation_struct", u->bdf);
	file = fopen(path, "r");
	if (!file)
		die(path);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "0x%lx |", &page) != 1 || page != iova / PAGE)
			continue;
		for (at = strchr(line, '|'); at; at = strchr(at + 1, '\t'))
			if (sscanf(at + 1, " 0x%lx", &entry) == 1)
				leaf = entry;
	}
	fclose(file);
	return leaf;
}

static int run(struct user *u, uint64_t source, uint64_t target, uint32_t command)
{
	volatile uint64_t *bar = (volatile uint64_t *)u->bar;
	int ms;

	bar[EDU_SOURCE] = source;
	bar[EDU_TARGET] = target;
	bar[EDU_COUNT] = PAGE;
	bar[EDU_COMMAND] = command | EDU_RUN;
	for (ms = 0; bar[EDU_COMMAND] & EDU_RUN; ms++) {
		if (ms == PATIENCE_MS * patience())
			return 0;
		usleep(1000);
	}
	return 1;
}

static int moves(struct user *u, const char *from, const char *to)
{
	return run(u, FROM, EDU_BUFFER, 0) && run(u, EDU_BUFFER, TO, EDU_TO_MEMORY) &&
	       !memcmp(from, to, PAGE);
}

int main(int argc, char **argv)
{
	struct user u = { 0 };
	char *from, *to;
	uint64_t reads, writes, snoop;
	char *stage = getenv("STAGE");
	unsigned int i;

	if (argc != 3) {
		fprintf(stderr, "usage: vfio_edu type1|iommufd BDF\n");
		return 2;
	}
	u.bdf = argv[2];
	from = get_memory(PAGE);
	to = get_memory(PAGE);
	for (i = 0; i < PAGE; i++)
		from[i] = rand();
	open_device(&u, argv[1]);
	open_bar(&u);
	snoop = unit_register(&u, "ecap") & ECAP_SNOOP ? LEAF_SNOOP : 0;
	reads = LEAF_READ | snoop;
	writes = LEAF_WRITE | snoop;
	if (stage && !strcmp(stage, "first")) {
		reads = FIRST_READ;
		writes = FIRST_WRITE;
	}
	claim(&u, !map_as(&u, from, FROM, PAGE, 1, 0) && !map_as(&u, to, TO, PAGE, 0, 1),
	      "one page is mapped to be read, one to be written");
	claim(&u, (leaf_of(&u, FROM) & 0xfff) == reads,
	      "the first page's entry allows reads, with snooping if the unit can force it");
	claim(&u, (leaf_of(&u, TO) & 0xfff) == writes,
	      "the other page's entry allows writes, likewise");
	claim(&u, moves(&u, from, to), "the device writes what it read");
	memset(to, 'x', PAGE);
	claim(&u, unmap(&u, TO, PAGE) && !leaf_of(&u, TO), "the other page is unmapped");
	claim(&u, !moves(&u, from, to) && to[0] == 'x' && to[PAGE - 1] == 'x',
	      "an unmapped page is not written");
	claim(&u, !map(&u, to, TO, PAGE) && moves(&u, from, to), "mapped again it is written");
	return u.failed;
}
