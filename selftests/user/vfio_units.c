// SPDX-License-Identifier: GPL-2.0
/*
 * vfio_units MODE BDF BDF - one address space for two devices behind different units.
 *
 * MODE is that of vfio_pair.h. If the second device's unit cannot walk the domain of the first,
 * each device gets a separate domain, and everything else is the same.
 */
#include "vfio_pair.h"

#define MEMORY		(4 * MIB)
#define IOVA		(64 * GIB)
#define ROUNDS		50
#define MAPS		64

/* The second device is attached to the first's domain, or refused without any effect. */
static void attach_or_refuse(struct pair *p)
{
	struct user *u = &p->second;
	uint64_t ids = domain_ids(u), descriptors = unit_counter(u, "descriptors");
	int err = open_second(p), same;

	if (can_walk(u, &p->first)) {
		claim_errno(u, err, 0, "the second device is attached to that domain");
		return;
	}
	same = domain_ids(u) == ids && unit_counter(u, "descriptors") == descriptors;
	if (!same)
		printf("note %lu domain-ids and %lu descriptors before, %lu and %lu after\n", ids,
		       descriptors, domain_ids(u), unit_counter(u, "descriptors"));
	claim(u, err == EINVAL && same,
	      "that domain is refused to the second device with EINVAL, and nothing is changed");
	/* The IOAS finds it another one. */
	p->second_to = u->ioas;
	err = open_second(p);
	if (err)
		die("attaching the second device to the IOAS");
}

static void open_both(struct pair *p)
{
	struct user *u = &p->first;
	unsigned int ids[2] = { 0, 0 };
	int shared;

	if (!strcmp(p->mode, "hwpt")) {
		claim_errno(u, new_domain(u, u->ioas, &p->first_to), 0,
			    "a domain is allocated for the first device");
		claim_errno(u, attach_iommufd(u, p->first_to), 0,
			    "the first device is attached to it");
		p->second_to = p->first_to;
		attach_or_refuse(p);
	} else {
		claim_errno(u, open_second(p), 0, "the second device joins the first");
	}
	shared = is_shared(p, ids);
	printf("note shared=%d ids=%u,%u\n", shared, ids[0], ids[1]);
	if (can_share(p))
		claim(u, shared && ids[0] != ids[1],
		      "one domain serves both units, with a different domain-id on each");
	else
		claim(u, !shared, "each unit has a separate domain");
}

static void map_and_unmap(struct pair *p, char *memory)
{
	struct user *u = &p->first;
	char *last = memory + MEMORY - 4;

	claim(u, both_are_denied(p, IOVA, memory), "nothing is mapped at first");
	claim(u, !map(u, memory, IOVA, MEMORY), "memory is mapped once");
	claim(u, both_reach(p, IOVA, memory) && both_reach(p, IOVA + MEMORY - 4, last),
	      "both devices reach its first and its last word");
	claim(u, unmap(u, IOVA, MEMORY), "it is unmapped once");
	claim(u, both_are_denied(p, IOVA, memory) && both_are_denied(p, IOVA + MEMORY - 4, last),
	      "both devices are refused its first and its last word");
}

static void many_times(struct pair *p, char *memory)
{
	struct user *u = &p->first;
	int i, good = 1;

	for (i = 0; i < ROUNDS && good; i++) {
		uint64_t iova = IOVA + i % 3 * PAGE;

		good = !map(u, memory, iova, PAGE) && both_reach(p, iova, memory) &&
		       unmap(u, iova, PAGE) && both_are_denied(p, iova, memory);
	}
	claim(u, good, "pages are mapped, reached, unmapped and refused many times");
}

static int is_invalidated(struct user *u, uint64_t before)
{
	uint64_t count = unit_flushes(u) - before;

	printf("note %lu invalidations by %d maps for %s\n", count, MAPS, u->bdf);
	return count >= MAPS;
}

/* Only a unit in caching mode may cache that nothing is mapped (VT-d 6.1). */
static void maps_invalidate(struct pair *p, char *memory)
{
	struct user *all[] = { &p->first, &p->second };
	uint64_t before[2];
	int i, good = 1;

	for (i = 0; i < 2; i++)
		before[i] = unit_flushes(all[i]);
	for (i = 0; i < MAPS && good; i++)
		good = !map(&p->first, memory, IOVA + i * PAGE, PAGE);
	for (i = 0; i < 2; i++)
		good &= is_invalidated(all[i], before[i]) ==
			!!(unit_register(all[i], "cap") & CAP_CACHING_MODE);
	claim(&p->first, good, "a new mapping is followed by an invalidation in caching mode only");
	claim(&p->first, unmap(&p->first, IOVA, MAPS * PAGE), "they are unmapped together");
}

/* Takes a device out of the address space. */
static int leaves(struct pair *p, struct user *u)
{
	struct vfio_device_detach_iommufd_pt detach = { .argsz = sizeof(detach) };

	if (strcmp(p->mode, "type1"))
		return ioctl(u->device, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach) ? errno : 0;
	if (munmap((void *)u->bar, PAGE) || close(u->device) ||
	    ioctl(u->group, VFIO_GROUP_UNSET_CONTAINER) || close(u->group))
		return errno;
	return 0;
}

static int returns(struct pair *p, struct user *u, struct user *other, uint32_t to)
{
	int err;

	if (strcmp(p->mode, "type1"))
		return attach_iommufd(u, to);
	err = join_container(u, other);
	if (!err)
		open_bar(u);
	return err;
}

/* @u leaves and returns while memory is mapped, and @other continues. */
static void one_leaves(struct pair *p, struct user *u, struct user *other, uint32_t to,
		       char *memory)
{
	int open = !!strcmp(p->mode, "type1");	/* a container has only open devices */
	char text[128];
	int good;

	if (map(other, memory, IOVA, MEMORY) || !both_reach(p, IOVA, memory))
		die("mapping before a device leaves");
	snprintf(text, sizeof(text), "the %s device leaves, and reaches nothing",
		 u == &p->first ? "first" : "second");
	claim(u, !leaves(p, u) && (!open || denied(u, IOVA, (void *)memory)), text);
	good = lands(other, IOVA, (void *)memory) && unmap(other, IOVA, MEMORY) &&
	       denied(other, IOVA, (void *)memory) && !map(other, memory, IOVA, MEMORY) &&
	       lands(other, IOVA, (void *)memory);
	claim(u, good, "the other one continues");
	claim(u, !returns(p, u, other, to) && both_reach(p, IOVA, memory),
	      "the device returns, and reaches what the other one does");
	claim(u, unmap(other, IOVA, MEMORY) && both_are_denied(p, IOVA, memory),
	      "it is unmapped for both");
}

int main(int argc, char **argv)
{
	struct pair p = { 0 };
	char *memory;

	if (argc != 4) {
		fprintf(stderr, "usage: vfio_units type1|iommufd|hwpt BDF BDF\n");
		return 2;
	}
	memory = get_memory(MEMORY);
	open_first(&p, argv[1], argv[2], argv[3]);
	open_both(&p);
	open_bar(&p.first);
	open_bar(&p.second);
	map_and_unmap(&p, memory);
	many_times(&p, memory);
	maps_invalidate(&p, memory);
	one_leaves(&p, &p.first, &p.second, p.first_to, memory);
	one_leaves(&p, &p.second, &p.first, p.second_to, memory);
	return p.first.failed | p.second.failed;
}
