// SPDX-License-Identifier: GPL-2.0
/*
 * vfio_dma MODE BDF - a user of VFIO with QEMU's iommu-testdev in its hands.
 *
 * MODE is type1 (a container) or iommufd. The device is bound to vfio-pci. Each
 * claim is a line "ok WHAT" or "fail WHAT"; the exit status is 1 if any failed
 * and 2 if the device could not be had, with the reason on standard error.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/iommufd.h>
#include <linux/vfio.h>

#define TESTDEV_FIRE	(0x00 / 4)
#define TESTDEV_IOVA_LO	(0x04 / 4)
#define TESTDEV_IOVA_HI	(0x08 / 4)
#define TESTDEV_LEN	(0x0c / 4)
#define TESTDEV_RESULT	(0x10 / 4)
#define TESTDEV_ARM	(0x14 / 4)
#define TESTDEV_REFUSED	0xdead0002u

#define PCI_COMMAND	0x04
#define COMMAND_ON	0x06	/* memory space and bus mastering */
#define MIB		(1UL << 20)
#define MEMORY		(4 * MIB)
#define IOVA		(64UL << 30)
#define UNWRITTEN	0xffffffffu

struct user {
	int iommu;		/* container or iommufd */
	int device;
	uint32_t ioas;		/* iommufd only */
	volatile uint32_t *bar;
	uint32_t *memory;
	int failed;
};

static void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(2);
}

static void claim(struct user *u, int holds, const char *what)
{
	printf("%s %s\n", holds ? "ok" : "fail", what);
	u->failed |= !holds;
}

static int group_number(const char *bdf)
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

static void open_type1(struct user *u, const char *bdf)
{
	char path[64];
	int group;

	u->iommu = open("/dev/vfio/vfio", O_RDWR);
	if (u->iommu < 0)
		die("/dev/vfio/vfio");
	snprintf(path, sizeof(path), "/dev/vfio/%d", group_number(bdf));
	group = open(path, O_RDWR);
	if (group < 0)
		die(path);
	if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &u->iommu))
		die("VFIO_GROUP_SET_CONTAINER");
	if (ioctl(u->iommu, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		die("VFIO_SET_IOMMU");
	u->device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, bdf);
	if (u->device < 0)
		die("VFIO_GROUP_GET_DEVICE_FD");
}

static void open_iommufd(struct user *u, const char *bdf)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind) };
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach) };
	char path[128];
	glob_t found;

	u->iommu = open("/dev/iommu", O_RDWR);
	if (u->iommu < 0)
		die("/dev/iommu");
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev/vfio*", bdf);
	if (glob(path, 0, NULL, &found) || found.gl_pathc != 1)
		die(path);
	snprintf(path, sizeof(path), "/dev/vfio/devices%s", strrchr(found.gl_pathv[0], '/'));
	u->device = open(path, O_RDWR);
	if (u->device < 0)
		die(path);
	bind.iommufd = u->iommu;
	if (ioctl(u->device, VFIO_DEVICE_BIND_IOMMUFD, &bind))
		die("VFIO_DEVICE_BIND_IOMMUFD");
	if (ioctl(u->iommu, IOMMU_IOAS_ALLOC, &alloc))
		die("IOMMU_IOAS_ALLOC");
	u->ioas = alloc.out_ioas_id;
	attach.pt_id = u->ioas;
	if (ioctl(u->device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach))
		die("VFIO_DEVICE_ATTACH_IOMMUFD_PT");
}

static int map(struct user *u, uint64_t iova, size_t size, int writable)
{
	if (u->ioas) {
		struct iommu_ioas_map m = {
			.size = sizeof(m),
			.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
				 (writable ? IOMMU_IOAS_MAP_WRITEABLE : 0),
			.ioas_id = u->ioas,
			.user_va = (uintptr_t)u->memory,
			.iova = iova,
			.length = size,
		};

		return ioctl(u->iommu, IOMMU_IOAS_MAP, &m);
	}
	struct vfio_iommu_type1_dma_map m = {
		.argsz = sizeof(m),
		.flags = VFIO_DMA_MAP_FLAG_READ | (writable ? VFIO_DMA_MAP_FLAG_WRITE : 0),
		.vaddr = (uintptr_t)u->memory,
		.iova = iova,
		.size = size,
	};

	return ioctl(u->iommu, VFIO_IOMMU_MAP_DMA, &m);
}

static int unmap(struct user *u, uint64_t iova, size_t size)
{
	if (u->ioas) {
		struct iommu_ioas_unmap m = {
			.size = sizeof(m), .ioas_id = u->ioas, .iova = iova, .length = size,
		};

		return ioctl(u->iommu, IOMMU_IOAS_UNMAP, &m) || m.length != size;
	}
	struct vfio_iommu_type1_dma_unmap m = { .argsz = sizeof(m), .iova = iova, .size = size };

	return ioctl(u->iommu, VFIO_IOMMU_UNMAP_DMA, &m) || m.size != size;
}

static void open_bar(struct user *u)
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

/* Whether a write of the device to @iova changed the word at @offset. */
static int lands(struct user *u, uint64_t iova, size_t offset)
{
	volatile uint32_t *word = u->memory + offset / 4;

	*word = UNWRITTEN;
	u->bar[TESTDEV_IOVA_LO] = iova;
	u->bar[TESTDEV_IOVA_HI] = iova >> 32;
	u->bar[TESTDEV_LEN] = 4;
	u->bar[TESTDEV_ARM] = 1;
	(void)u->bar[TESTDEV_FIRE];
	return *word != UNWRITTEN;
}

static int refused(struct user *u, uint64_t iova, size_t offset)
{
	return !lands(u, iova, offset) && u->bar[TESTDEV_RESULT] == TESTDEV_REFUSED;
}

static void play(struct user *u)
{
	claim(u, refused(u, IOVA, 0), "nothing is mapped at first");
	claim(u, !map(u, IOVA, MEMORY, 1), "memory is mapped");
	claim(u, lands(u, IOVA, 0), "the first word is reached");
	claim(u, lands(u, IOVA + MEMORY - 4, MEMORY - 4), "the last word is reached");
	claim(u, refused(u, IOVA + MEMORY, 0), "the page behind is refused");
	claim(u, refused(u, IOVA - 4096, 0), "the page before is refused");
	claim(u, !unmap(u, IOVA, MEMORY), "memory is unmapped");
	claim(u, refused(u, IOVA, 0), "the first word is refused afterwards");
	claim(u, refused(u, IOVA + MEMORY - 4, MEMORY - 4), "the last word is refused afterwards");
	claim(u, !map(u, IOVA, MEMORY, 0), "memory is mapped read-only");
	claim(u, refused(u, IOVA + MIB, MIB), "a write to it is refused");
	claim(u, !unmap(u, IOVA, MEMORY), "it is unmapped");
	claim(u, !map(u, 4096, MEMORY, 1) && lands(u, 4096, 0), "a low address can be mapped");
	claim(u, !map(u, IOVA, MEMORY, 1) && lands(u, IOVA, 0),
	      "the same memory is mapped twice");
	claim(u, !unmap(u, 4096, MEMORY) && lands(u, IOVA, 0),
	      "one of two mappings is undone, the other stays");
}

int main(int argc, char **argv)
{
	struct user u = { 0 };

	if (argc != 3 || (strcmp(argv[1], "type1") && strcmp(argv[1], "iommufd"))) {
		fprintf(stderr, "usage: vfio_dma type1|iommufd BDF\n");
		return 2;
	}
	u.memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (u.memory == MAP_FAILED)
		die("memory");
	if (!strcmp(argv[1], "type1"))
		open_type1(&u, argv[2]);
	else
		open_iommufd(&u, argv[2]);
	open_bar(&u);
	play(&u);
	return u.failed;
}
