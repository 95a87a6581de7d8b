/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A user of VFIO: claims a device through a container (type1) or through iommufd, and
 * maps memory for it. Each claim of a program is a line "ok WHAT" or "fail WHAT"; a
 * program that cannot get that far prints why and ends with status 2.
 */
#ifndef VTD_VFIO_USER_H
#define VTD_VFIO_USER_H

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/iommufd.h>
#include <linux/vfio.h>

#define KIB		1024UL
#define MIB		(1024UL * KIB)
#define GIB		(1024UL * MIB)
#define PAGE		(4 * KIB)

#define PCI_COMMAND	0x04
#define COMMAND_ON	0x06	/* memory space and bus mastering */

struct user {
	const char *bdf;
	int iommu;		/* container or iommufd */
	int group;		/* container only */
	int device;
	uint32_t ioas;		/* iommufd only; 0 otherwise */
	uint32_t id;		/* iommufd only: the device's id */
	volatile uint32_t *bar;
	int failed;
};

static inline void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(2);
}

/* By how much all waits are longer than on an ordinary kernel (selftests/lib/common.sh). */
static inline int patience(void)
{
	const char *text = getenv("PATIENCE");
	int factor = text ? atoi(text) : 1;

	return factor > 0 ? factor : 1;
}

static inline void claim(struct user *u, int holds, const char *what)
{
	printf("%s %s\n", holds ? "ok" : "fail", what);
	fflush(stdout);
	u->failed |= !holds;
}

/* A claim about the result of a call: @got is 0 or an errno. */
static inline void claim_errno(struct user *u, int got, int wanted, const char *what)
{
	if (got != wanted)
		printf("note error %d (%s) where %d was expected\n", got, strerror(got), wanted);
	claim(u, got == wanted, what);
}

/* Waits for a line of standard input; returns 0 at its end. */
static inline int next_step(void)
{
	char line[16];

	fflush(stdout);
	return !!fgets(line, sizeof(line), stdin);
}

static inline int group_number(const char *bdf)
{
	char path[128], target[256];
	ssize_t len;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", bdf);
	len = readlink(path, target, sizeof(target) - 1);
	if (len < 0)
		die(path);
	target[len] = '\0';
	return atoi(strrchr(target, '/') + 1);
}

/* Returns 0, or the errno of the step that was refused. */
static inline int try_type1(struct user *u)
{
	char path[64];

	u->iommu = open("/dev/vfio/vfio", O_RDWR);
	if (u->iommu < 0)
		die("/dev/vfio/vfio");
	snprintf(path, sizeof(path), "/dev/vfio/%d", group_number(u->bdf));
	u->group = open(path, O_RDWR);
	if (u->group < 0 || ioctl(u->group, VFIO_GROUP_SET_CONTAINER, &u->iommu) ||
	    ioctl(u->iommu, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		return errno;
	u->device = ioctl(u->group, VFIO_GROUP_GET_DEVICE_FD, u->bdf);
	return u->device < 0 ? errno : 0;
}

/* Opens the device's own file and binds it to @u->iommu. Returns 0 or an errno. */
static inline int bind_iommufd(struct user *u)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind), .iommufd = u->iommu };
	char path[128];
	glob_t found;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev/vfio*", u->bdf);
	if (glob(path, 0, NULL, &found) || found.gl_pathc != 1)
		die(path);
	snprintf(path, sizeof(path), "/dev/vfio/devices%s", strrchr(found.gl_pathv[0], '/'));
	globfree(&found);
	u->device = open(path, O_RDWR);
	if (u->device < 0 || ioctl(u->device, VFIO_DEVICE_BIND_IOMMUFD, &bind))
		return errno;
	u->id = bind.out_devid;
	return 0;
}

/* Attaches the device to an IOAS or a domain. Returns 0 or an errno. */
static inline int attach_iommufd(struct user *u, uint32_t to)
{
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach), .pt_id = to };

	return ioctl(u->device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach) ? errno : 0;
}

/* Allocates a domain for the device in an IOAS. Returns 0 or an errno. */
static inline int new_domain(struct user *u, uint32_t ioas, uint32_t *domain)
{
	struct iommu_hwpt_alloc alloc = {
		.size = sizeof(alloc), .dev_id = u->id, .pt_id = ioas,
	};

	if (ioctl(u->iommu, IOMMU_HWPT_ALLOC, &alloc))
		return errno;
	*domain = alloc.out_hwpt_id;
	return 0;
}

/* Returns 0, or the errno of the step that was refused. */
static inline int try_iommufd(struct user *u)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	int err;

	u->iommu = open("/dev/iommu", O_RDWR);
	if (u->iommu < 0)
		die("/dev/iommu");
	err = bind_iommufd(u);
	if (err)
		return err;
	if (ioctl(u->iommu, IOMMU_IOAS_ALLOC, &alloc))
		die("IOMMU_IOAS_ALLOC");
	u->ioas = alloc.out_ioas_id;
	return attach_iommufd(u, u->ioas);
}

static inline int try_open(struct user *u, const char *mode)
{
	if (!strcmp(mode, "type1"))
		return try_type1(u);
	if (!strcmp(mode, "iommufd"))
		return try_iommufd(u);
	fprintf(stderr, "%s is neither type1 nor iommufd\n", mode);
	exit(2);
}

static inline void open_device(struct user *u, const char *mode)
{
	errno = try_open(u, mode);
	if (errno)
		die("claiming the device");
}

/* Each returns 0 or an errno. */
static inline int map_as(struct user *u, const void *memory, uint64_t iova, uint64_t size,
			 int readable, int writable)
{
	if (u->ioas) {
		struct iommu_ioas_map m = {
			.size = sizeof(m),
			.flags = IOMMU_IOAS_MAP_FIXED_IOVA |
				 (readable ? IOMMU_IOAS_MAP_READABLE : 0) |
				 (writable ? IOMMU_IOAS_MAP_WRITEABLE : 0),
			.ioas_id = u->ioas,
			.user_va = (uintptr_t)memory,
			.iova = iova,
			.length = size,
		};

		return ioctl(u->iommu, IOMMU_IOAS_MAP, &m) ? errno : 0;
	}
	struct vfio_iommu_type1_dma_map m = {
		.argsz = sizeof(m),
		.flags = (readable ? VFIO_DMA_MAP_FLAG_READ : 0) |
			 (writable ? VFIO_DMA_MAP_FLAG_WRITE : 0),
		.vaddr = (uintptr_t)memory,
		.iova = iova,
		.size = size,
	};

	return ioctl(u->iommu, VFIO_IOMMU_MAP_DMA, &m) ? errno : 0;
}

static inline int map(struct user *u, const void *memory, uint64_t iova, uint64_t size)
{
	return map_as(u, memory, iova, size, 1, 1);
}

/* @gone: how many bytes were unmapped, 0 after an error. */
static inline int unmap_some(struct user *u, uint64_t iova, uint64_t size, uint64_t *gone)
{
	int err;

	if (u->ioas) {
		struct iommu_ioas_unmap m = {
			.size = sizeof(m), .ioas_id = u->ioas, .iova = iova, .length = size,
		};

		err = ioctl(u->iommu, IOMMU_IOAS_UNMAP, &m) ? errno : 0;
		*gone = err ? 0 : m.length;
		return err;
	}
	struct vfio_iommu_type1_dma_unmap m = { .argsz = sizeof(m), .iova = iova, .size = size };

	err = ioctl(u->iommu, VFIO_IOMMU_UNMAP_DMA, &m) ? errno : 0;
	*gone = err ? 0 : m.size;
	return err;
}

/* Returns whether exactly this range was unmapped. */
static inline int unmap(struct user *u, uint64_t iova, uint64_t size)
{
	uint64_t gone;

	return !unmap_some(u, iova, size, &gone) && gone == size;
}

/* Enable the device and map BAR 0. */
static inline void open_bar(struct user *u)
{
	struct vfio_region_info bar = { .argsz = sizeof(bar), .index = VFIO_PCI_BAR0_REGION_INDEX };
	struct vfio_region_info config = {
		.argsz = sizeof(config), .index = VFIO_PCI_CONFIG_REGION_INDEX,
	};
	uint16_t command = COMMAND_ON;

	if (ioctl(u->device, VFIO_DEVICE_GET_REGION_INFO, &config) ||
	    pwrite(u->device, &command, 2, config.offset + PCI_COMMAND) != 2)
		die("the device's command register");
	if (ioctl(u->device, VFIO_DEVICE_GET_REGION_INFO, &bar))
		die("VFIO_DEVICE_GET_REGION_INFO");
	u->bar = mmap(NULL, bar.size, PROT_READ | PROT_WRITE, MAP_SHARED, u->device, bar.offset);
	if (u->bar == MAP_FAILED)
		die("mapping BAR 0");
}

static inline void *get_memory(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (memory == MAP_FAILED)
		die("memory");
	return memory;
}

/* Reads a file of the device's unit in sysfs, which has one number. */
static inline uint64_t unit_number(struct user *u, const char *name, const char *format)
{
	char path[128];
	uint64_t value;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu/intel-iommu/%s", u->bdf, name);
	file = fopen(path, "r");
	if (!file || fscanf(file, format, &value) != 1)
		die(path);
	fclose(file);
	return value;
}

static inline uint64_t unit_register(struct user *u, const char *name)
{
	return unit_number(u, name, "%lx");
}

/* Returns how many domain-ids of the device's unit are allocated. */
static inline uint64_t domain_ids(struct user *u)
{
	return unit_number(u, "domains_used", "%lu");
}

/* --- what scripted devices can do --- */

#define UNWRITTEN	0xffffffffu

#define TESTDEV_FIRE	(0x00 / 4)
#define TESTDEV_IOVA_LO	(0x04 / 4)
#define TESTDEV_IOVA_HI	(0x08 / 4)
#define TESTDEV_LEN	(0x0c / 4)
#define TESTDEV_RESULT	(0x10 / 4)
#define TESTDEV_ARM	(0x14 / 4)
#define TESTDEV_REFUSED	0xdead0002u

/* Returns whether a write of iommu-testdev to @iova changed @word. */
static inline int lands(struct user *u, uint64_t iova, volatile uint32_t *word)
{
	*word = UNWRITTEN;
	u->bar[TESTDEV_IOVA_LO] = iova;
	u->bar[TESTDEV_IOVA_HI] = iova >> 32;
	u->bar[TESTDEV_LEN] = 4;
	u->bar[TESTDEV_ARM] = 1;
	(void)u->bar[TESTDEV_FIRE];
	return *word != UNWRITTEN;
}

/* Returns whether the unit refused a write of iommu-testdev to @iova, and @word is as it was. */
static inline int denied(struct user *u, uint64_t iova, volatile uint32_t *word)
{
	return !lands(u, iova, word) && u->bar[TESTDEV_RESULT] == TESTDEV_REFUSED;
}

/* Returns whether the unit refused a write of iommu-testdev to @iova. */
static inline int refused(struct user *u, uint64_t iova)
{
	volatile uint32_t nowhere;

	(void)lands(u, iova, &nowhere);
	return u->bar[TESTDEV_RESULT] == TESTDEV_REFUSED;
}

#endif /* VTD_VFIO_USER_H */
