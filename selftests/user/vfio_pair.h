/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A user of two devices (QEMU's iommu-testdev) behind different units, with one address space for
 * both: a container (type1), an IOAS (iommufd), or a domain of the first device in an IOAS (hwpt).
 */
#ifndef VTD_VFIO_PAIR_H
#define VTD_VFIO_PAIR_H

#include "vfio_user.h"

#define CAP_CACHING_MODE	(1UL << 7)
#define CAP_WIDTHS(cap)		((cap) >> 8 & 0x1f)
#define CAP_LARGE_PAGES(cap)	((cap) >> 34 & 0xf)
#define ECAP_SNOOP_CONTROL	(1UL << 7)

struct pair {
	const char *mode;
	struct user first, second;
	/* What they are attached to, except in a container: the IOAS, or a domain. */
	uint32_t first_to, second_to;
};

/* Copies the name of the device's unit. */
static inline void unit_name(struct user *u, char name[16])
{
	char path[128], target[256];
	ssize_t len;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu", u->bdf);
	len = readlink(path, target, sizeof(target) - 1);
	if (len < 0)
		die(path);
	target[len] = '\0';
	snprintf(name, 16, "%s", strrchr(target, '/') + 1);
}

/* Reads a counter of the device's unit. */
static inline uint64_t unit_counter(struct user *u, const char *name)
{
	char path[128], unit[16], line[128];
	uint64_t value = 0;
	int found = 0;
	FILE *file;

	unit_name(u, unit);
	snprintf(path, sizeof(path), "/sys/kernel/debug/vtd/%s/statistics", unit);
	file = fopen(path, "r");
	if (!file)
		die(path);
	while (!found && fgets(line, sizeof(line), file))
		found = !strncmp(line, name, strlen(name)) &&
			sscanf(line + strlen(name), ": %lu", &value) == 1;
	fclose(file);
	if (!found)
		die(name);
	return value;
}

/* Returns how many invalidations of translations the device's unit was given. */
static inline uint64_t unit_flushes(struct user *u)
{
	return unit_counter(u, "flush-page") + unit_counter(u, "flush-domain") +
	       unit_counter(u, "flush-global");
}

/* Returns whether a unit is among the @units of a domain, "NAME:ID:DEVICES,...", with a device. */
static inline int is_served(const char *units, struct user *u, unsigned int *id)
{
	unsigned int devices = 0;
	char name[16];

	unit_name(u, name);
	while ((units = strstr(units, name))) {
		units += strlen(name);
		if (sscanf(units, ":%u:%u", id, &devices) == 2)
			return devices > 0;
	}
	return 0;
}

/* Returns whether one domain serves both devices' units, and its domain-id on each. */
static inline int is_shared(struct pair *p, unsigned int ids[2])
{
	char line[1024], units[256];
	int found = 0;
	FILE *file = fopen("/sys/kernel/debug/vtd/domains", "r");

	if (!file)
		die("the list of domains");
	while (!found && fgets(line, sizeof(line), file)) {
		char *at = strstr(line, " units=");

		found = at && sscanf(at, " units=%255s", units) == 1 &&
			is_served(units, &p->first, &ids[0]) &&
			is_served(units, &p->second, &ids[1]);
	}
	fclose(file);
	return found;
}

/* Returns whether the unit of @u can walk a domain that is allocated for @owner's device. */
static inline int can_walk(struct user *u, struct user *owner)
{
	uint64_t ours = unit_register(u, "cap"), theirs = unit_register(owner, "cap");
	uint64_t snoop = unit_register(owner, "ecap") & ECAP_SNOOP_CONTROL;
	uint64_t levels = CAP_WIDTHS(theirs);

	while (levels & (levels - 1))
		levels &= levels - 1;	/* the widest remains */
	return (CAP_WIDTHS(ours) & levels) &&
	       !(CAP_LARGE_PAGES(theirs) & ~CAP_LARGE_PAGES(ours)) &&
	       !(snoop & ~unit_register(u, "ecap"));
}

/* In a container both units must enforce coherency, or neither. */
static inline int can_share(struct pair *p)
{
	uint64_t differs = unit_register(&p->first, "ecap") ^ unit_register(&p->second, "ecap");

	if (!strcmp(p->mode, "type1") && differs & ECAP_SNOOP_CONTROL)
		return 0;
	return can_walk(&p->second, &p->first);
}

/* Opens the device of @u in the container of @other. Returns 0 or an errno. */
static inline int join_container(struct user *u, struct user *other)
{
	char path[64];

	u->iommu = other->iommu;
	snprintf(path, sizeof(path), "/dev/vfio/%d", group_number(u->bdf));
	u->group = open(path, O_RDWR);
	if (u->group < 0 || ioctl(u->group, VFIO_GROUP_SET_CONTAINER, &u->iommu))
		return errno;
	u->device = ioctl(u->group, VFIO_GROUP_GET_DEVICE_FD, u->bdf);
	return u->device < 0 ? errno : 0;
}

/* Opens the first device, and the second except in a container; only the first is attached. */
static inline void open_first(struct pair *p, const char *mode, const char *first,
			      const char *second)
{
	p->mode = mode;
	p->first.bdf = first;
	p->second.bdf = second;
	open_device(&p->first, !strcmp(mode, "hwpt") ? "iommufd" : mode);
	if (!strcmp(mode, "type1"))
		return;
	p->second.iommu = p->first.iommu;
	p->second.ioas = p->first.ioas;
	p->first_to = p->first.ioas;
	p->second_to = p->first.ioas;
	errno = bind_iommufd(&p->second);
	if (errno)
		die("claiming the second device");
}

/* Puts the second device into the address space of the first. Returns 0 or an errno. */
static inline int open_second(struct pair *p)
{
	if (!strcmp(p->mode, "type1"))
		return join_container(&p->second, &p->first);
	return attach_iommufd(&p->second, p->second_to);
}

/* Opens both devices through iommufd, in one IOAS, with their BARs. */
static inline void open_pair(struct pair *p, const char *first, const char *second)
{
	open_first(p, "iommufd", first, second);
	errno = open_second(p);
	if (errno)
		die("attaching the second device");
	open_bar(&p->first);
	open_bar(&p->second);
}

static inline int both_reach(struct pair *p, uint64_t iova, volatile void *word)
{
	return lands(&p->first, iova, word) && lands(&p->second, iova, word);
}

static inline int both_are_denied(struct pair *p, uint64_t iova, volatile void *word)
{
	return denied(&p->first, iova, word) && denied(&p->second, iova, word);
}

#endif /* VTD_VFIO_PAIR_H */
