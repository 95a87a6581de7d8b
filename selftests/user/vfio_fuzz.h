/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The requests of a hostile user to VFIO and iommufd: with random arguments, around
 * boundaries, and for what other threads have just created or destroyed.
 */
#ifndef VTD_VFIO_FUZZ_H
#define VTD_VFIO_FUZZ_H

#include "vfio_user.h"

#define ARENA		(4 * MIB)
#define FOREIGN		MIB
#define MOST_SENT	100	/* by one thread: each makes some lines of QEMU's trace */
#define UNTOUCHED	0x5ec2e75au

enum op {
	OP_MAP, OP_UNMAP, OP_INFO, OP_RESET, OP_REOPEN, OP_DIRTY, OP_NONSENSE, OP_UNMAP_ALL,
	OPS_TYPE1,
	OP_ALLOC = OPS_TYPE1, OP_DESTROY, OP_COPY, OP_ATTACH, OP_DETACH, OP_HWPT, OP_RANGES,
	OP_ALLOW, OP_OPTION, OPS_IOMMUFD,
};

/* The counts of all processes. */
struct shared {
	int alive;
	unsigned long opened, killed, asked, sent;
	unsigned long granted[OPS_IOMMUFD];
	uint64_t foreign;
};

/* One thread. */
struct fuzzer {
	struct user *u;
	uint64_t random;
	uint64_t foreign;
	char *arena;
	uint32_t seen;	/* an object's id; the object may be destroyed */
	unsigned int sent;
};

static inline uint64_t next(uint64_t *random)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return *random * 0x2545f4914f6cdd1dUL;
}

static inline unsigned int pick(struct fuzzer *f, unsigned int of)
{
	return (next(&f->random) >> 32) % of;
}

static inline unsigned long others_granted(const struct shared *s)
{
	unsigned long sum = 0;
	unsigned int op;

	for (op = OP_INFO; op < OPS_IOMMUFD; op++)
		sum += s->granted[op];
	return sum;
}

static const uint64_t edges[] = {
	0, 1, PAGE - 1, PAGE, 2 * MIB, 0xfee00000UL, 0xfeefffffUL, 0xfef00000UL, 4 * GIB - PAGE,
	4 * GIB, 1UL << 39, (1UL << 39) - PAGE, 1UL << 47, 1UL << 48, (1UL << 48) - PAGE, 1UL << 63,
	-2 * MIB, -PAGE, -1UL,
};

static inline uint64_t any_iova(struct fuzzer *f)
{
	switch (pick(f, 8)) {
	case 0:
		return edges[pick(f, sizeof(edges) / sizeof(*edges))] + pick(f, 3) - 1;
	case 1:
		return edges[pick(f, sizeof(edges) / sizeof(*edges))];
	case 2:
		return next(&f->random);
	default:
		/* Few pages, so that requests meet. */
		return 64 * GIB + pick(f, 1024) * PAGE;
	}
}

static inline uint64_t any_size(struct fuzzer *f)
{
	switch (pick(f, 8)) {
	case 0:
		return edges[pick(f, sizeof(edges) / sizeof(*edges))];
	case 1:
		return next(&f->random) >> pick(f, 64);
	default:
		return (1 + pick(f, 64)) * PAGE;
	}
}

static inline uint64_t any_memory(struct fuzzer *f)
{
	switch (pick(f, 8)) {
	case 0:
		return edges[pick(f, sizeof(edges) / sizeof(*edges))];
	case 1:
		return next(&f->random);
	default:
		return (uintptr_t)f->arena + pick(f, ARENA / PAGE / 2) * PAGE;
	}
}

/* Random bytes, sometimes with their length in front. */
static inline void any_bytes(struct fuzzer *f, uint64_t *room, unsigned int words)
{
	unsigned int i;

	for (i = 0; i < words; i++)
		room[i] = pick(f, 3) ? pick(f, 16) : next(&f->random);
	*(uint32_t *)room = pick(f, 4) ? pick(f, words * 8 + 1) : next(&f->random);
}

static inline int answer(int result)
{
	return result < 0 ? errno : 0;
}

/* A request with a number near the valid ones, to any of the files. */
static inline int ask_nonsense(struct fuzzer *f)
{
	const int files[] = { f->u->iommu, f->u->group, f->u->device };
	uint64_t room[64];

	any_bytes(f, room, 64);
	return answer(ioctl(files[pick(f, 3)], _IO(';', (pick(f, 2) ? 100 : 0x80) + pick(f, 40)),
			    pick(f, 8) ? (uintptr_t)room : any_memory(f)));
}

/* Close one of the files while other threads use it, and open it again. */
static inline int reopen(struct fuzzer *f)
{
	struct user *u = f->u, again = { .bdf = u->bdf };

	close(pick(f, 2) ? u->device : u->iommu);
	if (pick(f, 2))
		close(u->device);
	if (u->group && pick(f, 2))
		close(u->group);
	errno = try_open(&again, u->ioas ? "iommufd" : "type1");
	if (errno)
		return errno;
	u->iommu = again.iommu;
	u->group = again.group;
	u->device = again.device;
	u->ioas = again.ioas ? again.ioas : u->ioas;
	u->id = again.id;
	return 0;
}

static inline int ask_map(struct fuzzer *f)
{
	return map_as(f->u, (void *)any_memory(f), any_iova(f), any_size(f), pick(f, 4) != 0,
		      pick(f, 4) != 0);
}

static inline int ask_unmap(struct fuzzer *f)
{
	uint64_t gone;

	return unmap_some(f->u, any_iova(f), any_size(f), &gone);
}

static inline int ask_type1(struct fuzzer *f, unsigned int op)
{
	struct vfio_iommu_type1_dma_unmap all = {
		.argsz = sizeof(all), .flags = VFIO_DMA_UNMAP_FLAG_ALL,
	};
	uint64_t room[64];
	struct user *u = f->u;

	any_bytes(f, room, 64);
	switch (op) {
	case OP_MAP:
		return ask_map(f);
	case OP_UNMAP:
		return ask_unmap(f);
	case OP_INFO:
		return answer(ioctl(u->iommu, VFIO_IOMMU_GET_INFO, room));
	case OP_RESET:
		return pick(f, 8) ? EAGAIN : answer(ioctl(u->device, VFIO_DEVICE_RESET));
	case OP_REOPEN:
		return pick(f, 1024) ? EAGAIN : reopen(f);
	case OP_DIRTY:
		room[0] = 24 | (uint64_t)(1 << pick(f, 4)) << 32;
		return answer(ioctl(u->iommu, VFIO_IOMMU_DIRTY_PAGES, room));
	case OP_NONSENSE:
		return ask_nonsense(f);
	default: /* OP_UNMAP_ALL */
		return pick(f, 8) ? EAGAIN : answer(ioctl(u->iommu, VFIO_IOMMU_UNMAP_DMA, &all));
	}
}

/* Requests with an object's id; the next request uses what they leave behind. */
static inline int ask_objects(struct fuzzer *f, unsigned int op)
{
	struct vfio_device_detach_iommufd_pt detach = { .argsz = sizeof(detach) };
	struct vfio_device_attach_iommufd_pt attach = {
		.argsz = sizeof(attach), .pt_id = pick(f, 2) ? f->u->ioas : f->seen,
	};
	struct iommu_hwpt_alloc hwpt = {
		.size = sizeof(hwpt), .flags = pick(f, 4) ? 0 : pick(f, 16), .dev_id = f->u->id,
		.pt_id = pick(f, 4) ? f->u->ioas : f->seen,
	};
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct iommu_destroy destroy = { .size = sizeof(destroy), .id = f->seen };
	struct user *u = f->u;
	int err;

	switch (op) {
	case OP_ALLOC:
		err = answer(ioctl(u->iommu, IOMMU_IOAS_ALLOC, &alloc));
		f->seen = err ? f->seen : alloc.out_ioas_id;
		return err;
	case OP_HWPT:
		err = answer(ioctl(u->iommu, IOMMU_HWPT_ALLOC, &hwpt));
		f->seen = err ? f->seen : hwpt.out_hwpt_id;
		return err;
	case OP_DESTROY:
		/*
		 * Rarely use what other threads use just now: iommufd of 7.3 then misses that
		 * they are done (it wakes interruptible sleepers only) and sleeps for a minute.
		 */
		if (!pick(f, 4096))
			destroy.id = pick(f, 8);
		return answer(ioctl(u->iommu, IOMMU_DESTROY, &destroy));
	case OP_ATTACH:
		return answer(ioctl(u->device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach));
	default: /* OP_DETACH */
		return pick(f, 4) ? EAGAIN :
		       answer(ioctl(u->device, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach));
	}
}

static inline int ask_iommufd(struct fuzzer *f, unsigned int op)
{
	struct iommu_iova_range found[8];
	struct iommu_ioas_copy copy = {
		.size = sizeof(copy), .flags = IOMMU_IOAS_MAP_FIXED_IOVA | pick(f, 8),
		.dst_ioas_id = pick(f, 2) ? f->u->ioas : f->seen, .src_ioas_id = f->u->ioas,
		.length = any_size(f), .dst_iova = any_iova(f), .src_iova = any_iova(f),
	};
	struct iommu_ioas_iova_ranges ranges = {
		.size = sizeof(ranges), .ioas_id = pick(f, 2) ? f->u->ioas : f->seen,
		.num_iovas = pick(f, 9), .allowed_iovas = (uintptr_t)found,
	};
	struct iommu_ioas_allow_iovas allow = {
		.size = sizeof(allow), .ioas_id = f->seen, .num_iovas = pick(f, 3),
		.allowed_iovas = (uintptr_t)found,
	};
	uint64_t room[64];

	any_bytes(f, room, 64);
	found[0] = (struct iommu_iova_range) { any_iova(f), any_iova(f) };
	found[1] = (struct iommu_iova_range) { any_iova(f), -1UL };
	switch (op) {
	case OP_INFO:
		return answer(ioctl(f->u->iommu, IOMMU_GET_HW_INFO, room));
	case OP_DIRTY:
		return answer(ioctl(f->u->iommu, IOMMU_HWPT_GET_DIRTY_BITMAP, room));
	case OP_UNMAP_ALL:
		return pick(f, 8) ? EAGAIN : answer(unmap(f->u, 0, -1UL) ? 0 : -1);
	case OP_COPY:
		return answer(ioctl(f->u->iommu, IOMMU_IOAS_COPY, &copy));
	case OP_RANGES:
		return answer(ioctl(f->u->iommu, IOMMU_IOAS_IOVA_RANGES, &ranges));
	case OP_ALLOW:
		return answer(ioctl(f->u->iommu, IOMMU_IOAS_ALLOW_IOVAS, &allow));
	case OP_OPTION:
		return answer(ioctl(f->u->iommu, IOMMU_OPTION, room));
	default:
		return op < OPS_TYPE1 ? ask_type1(f, op) : ask_objects(f, op);
	}
}

/* Send the device to addresses that may be mapped, that are not, and of memory of no process. */
static inline void send_device(struct fuzzer *f, unsigned long *sent)
{
	volatile uint32_t *bar = f->u->bar;
	uint64_t iova = pick(f, 3) || !f->foreign ? any_iova(f) :
			f->foreign + pick(f, FOREIGN / 4) * 4UL;

	/* A write to this window is an interrupt, which is not remapped here. */
	if (iova - 0xfee00000UL + 4 < 0x100004UL || f->sent++ >= MOST_SENT)
		return;
	bar[TESTDEV_IOVA_LO] = iova;
	bar[TESTDEV_IOVA_HI] = iova >> 32;
	bar[TESTDEV_LEN] = 4;
	bar[TESTDEV_ARM] = 1;
	(void)bar[TESTDEV_FIRE];
	__atomic_fetch_add(sent, 1, __ATOMIC_RELAXED);
}

#endif /* VTD_VFIO_FUZZ_H */
