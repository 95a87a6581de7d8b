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

static int next_step(void)
{
	char line[16];

	fflush(stdout);
	return !!fgets(line, sizeof(line), stdin);
}

/* Returns how many domain-ids of the unit are allocated. */
static unsigned long ids(struct user *u)
{
	char path[128];
	unsigned long used;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu/intel-iommu/domains_used",
		 u->bdf);
	file = fopen(path, "r");
	if (!file || fscanf(file, "%lu", &used) != 1)
		die(path);
	fclose(file);
	return used;
}

/* All devices are bound to one iommufd; none is attached. */
static void open_all(int count, char **bdfs)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind) };
	int iommu = open("/dev/iommu", O_RDWR), i;
	char path[128];
	glob_t found;

	if (iommu < 0)
		die("/dev/iommu");
	for (i = 0; i < count; i++) {
		struct user *u = &users[i];

		u->bdf = bdfs[i];
		u->iommu = iommu;
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev/vfio*", u->bdf);
		if (glob(path, 0, NULL, &found) || found.gl_pathc != 1)
			die(path);
		snprintf(path, sizeof(path), "/dev/vfio/devices%s",
			 strrchr(found.gl_pathv[0], '/'));
		u->device = open(path, O_RDWR);
		if (u->device < 0)
			die(path);
		bind.iommufd = iommu;
		if (ioctl(u->device, VFIO_DEVICE_BIND_IOMMUFD, &bind))
			die("VFIO_DEVICE_BIND_IOMMUFD");
		u->id = bind.out_devid;
	}
}

/* Returns 0 or an errno. */
static int new_domain(struct user *u, uint32_t ioas, uint32_t *domain)
{
	struct iommu_hwpt_alloc alloc = {
		.size = sizeof(alloc), .dev_id = u->id, .pt_id = ioas,
	};

	if (ioctl(u->iommu, IOMMU_HWPT_ALLOC, &alloc))
		return errno;
	*domain = alloc.out_hwpt_id;
	return 0;
}

/* Returns 0 or an errno. */
static int attach(struct user *u, uint32_t domain)
{
	struct vfio_device_attach_iommufd_pt attach = {
		.argsz = sizeof(attach), .pt_id = domain,
	};

	return ioctl(u->device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach) ? errno : 0;
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
	before = ids(u);
	for (made = 0; made < DOMAINS && !err; made++)
		err = new_domain(u, ioas.out_ioas_id, &domain);
	claim(u, made == DOMAINS && !err, "an ordinary user allocates domains");
	if (ids(u) != before)
		printf("note %lu domain-ids before, %lu after %d domains\n", before, ids(u), made);
	claim(u, ids(u) == before, "they use no domain-id");

	if (!next_step())
		return 2;
	for (attached = 0, err = 0; attached < count && !err; attached++) {
		err = new_domain(&users[attached], ioas.out_ioas_id, &domains[attached]) ?:
		      attach(&users[attached], domains[attached]);
		if (err)
			break;
	}
	printf("note attached=%d error=%d\n", attached, err);
	claim(u, ids(u) == before + attached, "each domain with a device uses one");
	claim(u, attached < count && err == ENOSPC, "the last domain-ids are not given to users");

	if (!next_step())
		return 2;
	for (i = 0; i < ATTEMPTS && attached < count; i++)
		same &= attach(&users[attached], domains[attached]) == ENOSPC;
	claim(u, same && i, "a repeated request is refused each time");
	next_step();
	return u->failed;
}
