// SPDX-License-Identifier: GPL-2.0
/*
 * vfio_limits BDF... - an ordinary user who requests as much as possible of iommufd.
 *
 * Each step waits for a line of standard input. The first allocates DOMAINS domains
 * that no device is attached to. The second attaches each device to a separate domain,
 * until the first refusal. The third repeats the refused request ATTEMPTS times. The
 * program ends with its input.
 */
#include "vfio_user.h"

#define DOMAINS		300
#define ATTEMPTS	1000
#define DEVICES		8
#define UNPRIVILEGED	65534

static struct user users[DEVICES];
static uint32_t domains[DEVICES];

/* All devices are bound to one iommufd; none is attached. */
static void open_all(int count, char **bdfs)
{
	int iommu = open("/dev/iommu", O_RDWR), i;

	if (iommu < 0)
		die("/dev/iommu");
	for (i = 0; i < count; i++) {
		users[i].bdf = bdfs[i];
		users[i].iommu = iommu;
		errno = bind_iommufd(&users[i]);
		if (errno)
			die("claiming the device");
	}
}

int main(int argc, char **argv)
{
	struct iommu_ioas_alloc ioas = { .size = sizeof(ioas) };
	int count = argc - 1, attached, made, err = 0, same = 1, i;
	struct user *u = &users[0];
	unsigned long before;
	uint32_t domain;

	if (count < 1 || count > DEVICES) {
		fprintf(stderr, "usage: vfio_limits BDF...\n");
		return 2;
	}
	open_all(count, argv + 1);
	if (setgid(UNPRIVILEGED) || setuid(UNPRIVILEGED))
		die("setuid");
	if (ioctl(u->iommu, IOMMU_IOAS_ALLOC, &ioas))
		die("IOMMU_IOAS_ALLOC");
	if (!next_step())
		return 2;
	before = domain_ids(u);
	for (made = 0; made < DOMAINS && !err; made++)
		err = new_domain(u, ioas.out_ioas_id, &domain);
	claim(u, made == DOMAINS && !err, "an ordinary user allocates domains");
	if (domain_ids(u) != before)
		printf("note %lu domain-ids before, %lu after %d domains\n", before, domain_ids(u),
		       made);
	claim(u, domain_ids(u) == before, "they use no domain-id");

	if (!next_step())
		return 2;
	for (attached = 0, err = 0; attached < count && !err; attached++) {
		err = new_domain(&users[attached], ioas.out_ioas_id, &domains[attached]) ?:
		      attach_iommufd(&users[attached], domains[attached]);
		if (err)
			break;
	}
	printf("note attached=%d error=%d\n", attached, err);
	claim(u, domain_ids(u) == before + attached, "each domain with a device uses one");
	claim(u, attached < count && err == ENOSPC, "the last domain-ids are not given to users");

	if (!next_step())
		return 2;
	for (i = 0; i < ATTEMPTS && attached < count; i++)
		same &= attach_iommufd(&users[attached], domains[attached]) == ENOSPC;
	claim(u, same && i, "a repeated request is refused each time");
	next_step();
	return u->failed;
}
