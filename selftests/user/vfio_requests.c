// SPDX-License-Identifier: GPL-2.0
/*
 * vfio_requests MODE BDF - valid requests to a domain, and those that are refused.
 *
 * MODE is type1 or iommufd; BDF is QEMU's iommu-testdev, whose DMA is the
 * witness that a refused request has changed nothing and left nothing behind.
 * Needs a few huge pages of 2 MiB.
 */
#include "vfio_user.h"

#define BASE		(64 * GIB)
#define MSI_FIRST	0xfee00000UL
#define MSI_LAST	0xfeefffffUL
#define RANGES		32

struct ranges {
	unsigned int count;
	uint64_t first[RANGES];
	uint64_t last[RANGES];
	uint64_t page_sizes;	/* type1; iommufd reports only the smallest */
};

static void ranges_of_type1(struct user *u, struct ranges *r)
{
	char room[4096] = { 0 };
	struct vfio_iommu_type1_info *info = (void *)room;
	uint32_t at, i;

	info->argsz = sizeof(room);
	if (ioctl(u->iommu, VFIO_IOMMU_GET_INFO, info))
		die("VFIO_IOMMU_GET_INFO");
	r->page_sizes = info->iova_pgsizes;
	for (at = info->flags & VFIO_IOMMU_INFO_CAPS ? info->cap_offset : 0; at;) {
		struct vfio_info_cap_header *cap = (void *)(room + at);

		if (cap->id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE) {
			struct vfio_iommu_type1_info_cap_iova_range *found = (void *)cap;

			for (i = 0; i < found->nr_iovas && i < RANGES; i++) {
				r->first[i] = found->iova_ranges[i].start;
				r->last[i] = found->iova_ranges[i].end;
			}
			r->count = i;
		}
		at = cap->next;
	}
}

static void ranges_of_iommufd(struct user *u, struct ranges *r)
{
	struct iommu_iova_range found[RANGES];
	struct iommu_ioas_iova_ranges ask = {
		.size = sizeof(ask), .ioas_id = u->ioas, .num_iovas = RANGES,
		.allowed_iovas = (uintptr_t)found,
	};
	uint32_t i;

	if (ioctl(u->iommu, IOMMU_IOAS_IOVA_RANGES, &ask))
		die("IOMMU_IOAS_IOVA_RANGES");
	for (i = 0; i < ask.num_iovas && i < RANGES; i++) {
		r->first[i] = found[i].start;
		r->last[i] = found[i].last;
	}
	r->count = i;
	r->page_sizes = ask.out_iova_alignment;
}

/* Whether the unit translates by a first stage: the test says so. */
static int has_first_stage(void)
{
	return !!getenv("FIRST_STAGE");
}

/*
 * By CAP (VT-d 11.4.2): 4 KiB, and what SLLPS says of larger pages; of a first stage 2 MiB and what
 * FS1GP says.
 */
static uint64_t page_sizes_of_unit(struct user *u)
{
	uint64_t cap = unit_register(u, "cap");

	if (has_first_stage())
		return PAGE | 2 * MIB | (cap >> 56 & 1) * GIB;
	return PAGE | (cap >> 34 & 1) * 2 * MIB | (cap >> 35 & 1) * GIB;
}

/*
 * By CAP: the widest tables (SAGAW), limited by the address width (MGAW). A first stage has
 * the lower half of 48 bits.
 */
static uint64_t last_of_unit(struct user *u)
{
	uint64_t cap = unit_register(u, "cap"), reach = (cap >> 16 & 0x3f) + 1;
	uint64_t bits = cap & 1 << 11 ? 57 : cap & 1 << 10 ? 48 : 39;

	if (has_first_stage())
		bits = 47;
	return (1UL << (bits < reach ? bits : reach)) - 1;
}

/* Compares what is reported with what the unit can do; returns the last address. */
static uint64_t play_geometry(struct user *u)
{
	struct ranges r = { 0 };
	int clear = 1;
	unsigned int i;
	uint64_t end;

	if (u->ioas)
		ranges_of_iommufd(u, &r);
	else
		ranges_of_type1(u, &r);
	end = r.count ? r.last[r.count - 1] : 0;
	for (i = 0; i < r.count; i++)
		clear &= r.last[i] < MSI_FIRST || r.first[i] > MSI_LAST;
	if (u->ioas)
		claim(u, r.page_sizes == PAGE, "the smallest page is one of the processor");
	else
		claim(u, r.page_sizes == page_sizes_of_unit(u), "page sizes are those of the unit");
	claim(u, end == last_of_unit(u), "the aperture ends at the unit's last address");
	claim(u, r.count >= 2 && clear, "the interrupt window is in no range");
	return end;
}

static void play_refusals(struct user *u, char *memory, uint64_t end)
{
	uint64_t gone;

	claim_errno(u, map(u, memory, BASE, 0), EINVAL, "zero bytes are not mapped");
	claim_errno(u, map(u, memory, BASE + 1, PAGE), EINVAL, "an odd address is refused");
	claim_errno(u, map(u, memory, BASE + PAGE / 2, PAGE), EINVAL,
		    "an address in the middle of a page is refused");
	claim_errno(u, map(u, memory, BASE, PAGE / 2), EINVAL, "half a page is refused");
	claim_errno(u, map(u, memory, BASE, PAGE + 1), EINVAL, "a page and a byte are refused");
	claim_errno(u, map_as(u, memory, BASE, PAGE, 0, 0), EINVAL,
		    "a mapping that permits nothing is refused");
	claim_errno(u, map(u, memory, -PAGE, 2 * PAGE), EOVERFLOW, "a range that wraps is refused");
	claim_errno(u, map(u, memory, end + 1, PAGE), EINVAL,
		    "a page past the aperture is refused");
	claim_errno(u, map(u, memory, end + 1 - PAGE, 2 * PAGE), EINVAL,
		    "a range across the aperture's end is refused");
	claim(u, refused(u, end + 1 - PAGE), "nothing of that range is mapped");
	claim_errno(u, map(u, memory, MSI_FIRST, PAGE), EINVAL, "the interrupt window is refused");
	claim_errno(u, map(u, memory, MSI_FIRST - PAGE, 2 * PAGE), EINVAL,
		    "a range into the interrupt window is refused");
	claim(u, refused(u, MSI_FIRST - PAGE), "nothing of a range into the window is mapped");
	claim(u, refused(u, BASE), "after all that nothing is mapped");
	claim_errno(u, unmap_some(u, BASE, 0, &gone), EINVAL, "zero bytes are not unmapped");
	claim_errno(u, unmap_some(u, -PAGE, 2 * PAGE, &gone), EOVERFLOW,
		    "an unmap that wraps is refused");
	claim_errno(u, unmap_some(u, BASE, PAGE, &gone), u->ioas ? ENOENT : 0,
		    "an unmap of nothing reports that");
	claim(u, !gone, "an unmap of nothing counts no bytes");
}

static void play_edges(struct user *u, char *memory, uint64_t end)
{
	uint32_t *word = (uint32_t *)memory;

	claim(u, !map(u, memory, end + 1 - PAGE, PAGE) && lands(u, end + 1 - PAGE, word),
	      "the last page of the aperture can be used");
	claim(u, unmap(u, end + 1 - PAGE, PAGE) && refused(u, end + 1 - PAGE),
	      "the last page is unmapped");
	claim(u, !map(u, memory, 0, PAGE) && lands(u, 0, word), "the first page can be used");
	claim(u, unmap(u, 0, PAGE) && refused(u, 0), "the first page is unmapped");
	claim(u, !map(u, memory, MSI_LAST + 1, PAGE) && lands(u, MSI_LAST + 1, word) &&
	      unmap(u, MSI_LAST + 1, PAGE), "the page after the interrupt window can be used");
}

static void play_twice(struct user *u, char *memory)
{
	uint32_t *word = (uint32_t *)(memory + PAGE);

	claim(u, !map(u, memory + PAGE, BASE + PAGE, PAGE), "a page is mapped");
	claim_errno(u, map(u, memory, BASE + PAGE, PAGE), EEXIST, "a second mapping is refused");
	claim_errno(u, map(u, memory, BASE, 3 * PAGE), EEXIST, "a range around it is refused");
	claim(u, refused(u, BASE) && refused(u, BASE + 2 * PAGE),
	      "whose other pages stay unmapped");
	claim(u, lands(u, BASE + PAGE, word), "the first mapping stays as it was");
	claim(u, unmap(u, BASE + PAGE, PAGE) && refused(u, BASE + PAGE),
	      "the first mapping is unmapped");
}

static void play_hole(struct user *u)
{
	char *memory = get_memory(8 * PAGE);

	if (munmap(memory + 5 * PAGE, PAGE))
		die("munmap");
	claim_errno(u, map(u, memory, BASE, 8 * PAGE), EFAULT, "memory with a hole is refused");
	claim(u, refused(u, BASE) && refused(u, BASE + 4 * PAGE), "nothing of it stays mapped");
	claim(u, !map(u, memory, BASE, 5 * PAGE) && lands(u, BASE, (uint32_t *)memory) &&
	      unmap(u, BASE, 5 * PAGE), "the part before the hole can be mapped then");
	munmap(memory, 8 * PAGE);
}

/* A mapping of huge pages, for which the tables have large pages. */
static void play_large(struct user *u)
{
	int part = u->ioas ? ENOENT : EINVAL;
	char *memory = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | MAP_HUGETLB, -1, 0);
	uint64_t gone;

	if (memory == MAP_FAILED)
		die("two huge pages");
	claim(u, !map(u, memory, BASE, 4 * MIB), "two large pages are mapped");
	claim_errno(u, unmap_some(u, BASE, PAGE, &gone), part,
		    "the first small page of two large ones is not unmapped");
	claim_errno(u, unmap_some(u, BASE + 4 * MIB - PAGE, PAGE, &gone), part,
		    "their last small page is not unmapped");
	claim_errno(u, unmap_some(u, BASE + 2 * MIB, 2 * MIB, &gone), part,
		    "one of the two is not unmapped: they were mapped together");
	claim_errno(u, unmap_some(u, BASE - MIB, 2 * MIB, &gone), part,
		    "a range that begins before them unmaps nothing");
	claim(u, lands(u, BASE, (uint32_t *)memory) &&
	      lands(u, BASE + 4 * MIB - PAGE, (uint32_t *)(memory + 4 * MIB - PAGE)),
	      "all of them stay mapped");
	claim(u, unmap(u, BASE, 4 * MIB) && refused(u, BASE) && refused(u, BASE + 3 * MIB),
	      "they are unmapped together");
	claim(u, !map(u, memory + MIB, BASE + PAGE, 2 * MIB) &&
	      lands(u, BASE + 2 * MIB, (uint32_t *)(memory + 3 * MIB - PAGE)),
	      "if they are not aligned to large pages they are mapped as small ones");
	claim(u, unmap(u, BASE + PAGE, 2 * MIB) && refused(u, BASE + PAGE),
	      "the small pages are unmapped");
	claim(u, !map(u, memory, BASE, 2 * MIB) &&
	      !map(u, memory + 2 * MIB, BASE + 4 * MIB, PAGE) &&
	      !unmap_some(u, BASE, GIB, &gone) && gone == 2 * MIB + PAGE,
	      "one unmap removes mappings of both sizes, and counts them");
	claim(u, refused(u, BASE) && refused(u, BASE + 4 * MIB),
	      "no page of both sizes stays mapped");
	munmap(memory, 4 * MIB);
}

/* What iommufd reports of the unit equals the unit's registers. */
static void play_info(struct user *u)
{
	struct iommu_hw_info_vtd vtd = { 0 };
	struct iommu_hw_info ask = {
		.size = sizeof(ask), .dev_id = u->id, .data_len = sizeof(vtd),
		.data_uptr = (uintptr_t)&vtd,
	};

	claim(u, !ioctl(u->iommu, IOMMU_GET_HW_INFO, &ask) &&
	      ask.out_data_type == IOMMU_HW_INFO_TYPE_INTEL_VTD &&
	      vtd.cap_reg == unit_register(u, "cap") && vtd.ecap_reg == unit_register(u, "ecap"),
	      "iommufd shows the unit's registers unchanged");
	claim(u, !(ask.out_capabilities & IOMMU_HW_CAP_DIRTY_TRACKING) &&
	      !ask.out_max_pasid_log2, "no dirty tracking and no PASIDs are reported");
}

/* Only iommufd lets its user see domains and replace them under a device. */
static void play_replace(struct user *u, char *memory)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach) };
	struct iommu_hwpt_alloc hwpt = { .size = sizeof(hwpt), .dev_id = u->id };
	struct iommu_destroy destroy = { .size = sizeof(destroy) };
	uint32_t first = u->ioas, *one = (uint32_t *)memory, *other = (uint32_t *)(memory + PAGE);

	claim(u, !map(u, one, BASE, PAGE) && lands(u, BASE, one),
	      "a page is mapped in one address space");
	if (ioctl(u->iommu, IOMMU_IOAS_ALLOC, &alloc))
		die("IOMMU_IOAS_ALLOC");
	u->ioas = alloc.out_ioas_id;
	claim(u, !map(u, other, BASE, PAGE),
	      "another page is mapped there in a second address space");
	claim(u, lands(u, BASE, one), "the device still reaches the first page");
	attach.pt_id = u->ioas;
	claim(u, !ioctl(u->device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach),
	      "the device is attached to the second address space");
	claim(u, lands(u, BASE, other) && !lands(u, BASE, one),
	      "the device reaches the other page immediately");
	destroy.id = u->ioas;
	claim(u, ioctl(u->iommu, IOMMU_DESTROY, &destroy) && errno == EBUSY,
	      "an address space in use is not destroyed");
	hwpt.pt_id = first;
	claim(u, !ioctl(u->iommu, IOMMU_HWPT_ALLOC, &hwpt), "a domain over the first is allocated");
	attach.pt_id = hwpt.out_hwpt_id;
	claim(u, !ioctl(u->device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach) && lands(u, BASE, one) &&
	      !lands(u, BASE, other), "attached to it, the device reaches the first page");
	hwpt.flags = IOMMU_HWPT_ALLOC_NEST_PARENT;
	claim(u, ioctl(u->iommu, IOMMU_HWPT_ALLOC, &hwpt) && errno == EOPNOTSUPP,
	      "a parent of nested domains is refused as not supported");
	hwpt.flags = IOMMU_HWPT_ALLOC_DIRTY_TRACKING;
	claim(u, ioctl(u->iommu, IOMMU_HWPT_ALLOC, &hwpt) && errno == EOPNOTSUPP,
	      "dirty tracking is refused as not supported");
	u->ioas = first;
	claim(u, unmap(u, BASE, PAGE) && refused(u, BASE), "the page is unmapped");
}

int main(int argc, char **argv)
{
	struct user u = { 0 };
	char *memory;
	uint64_t end;

	if (argc != 3) {
		fprintf(stderr, "usage: vfio_requests type1|iommufd BDF\n");
		return 2;
	}
	u.bdf = argv[2];
	memory = get_memory(MIB);
	open_device(&u, argv[1]);
	open_bar(&u);
	end = play_geometry(&u);
	play_refusals(&u, memory, end);
	play_edges(&u, memory, end);
	play_twice(&u, memory);
	play_hole(&u);
	play_large(&u);
	if (u.ioas) {
		play_info(&u);
		play_replace(&u, memory);
	}
	return u.failed;
}
