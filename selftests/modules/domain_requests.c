// SPDX-License-Identifier: GPL-2.0
/*
 * Requests that do not fit, through the kernel's own interface: each has a defined
 * result, and a refused request leaves nothing behind.
 */
#include <linux/mm.h>
#include <linux/sizes.h>

#include "domain.h"

#define PROT	(IOMMU_READ | IOMMU_WRITE)
#define BASE	(64ULL * SZ_1G)

static int map(struct bench *b, u64 iova, u64 phys, u64 size)
{
	return iommu_map(b->domain, iova, phys, size, PROT, GFP_KERNEL);
}

static void refuse(struct bench *b, int wanted, u64 iova, u64 phys, u64 size, const char *what)
{
	int err = map(b, iova, phys, size);

	expect(b, err == wanted, "%s: error %d, not %d", what, err, wanted);
	if (!err)
		iommu_unmap(b->domain, iova, size);
}

static u64 phys_of(struct bench *b)
{
	return page_to_phys(b->page);
}

static bool is_mapped(struct bench *b, u64 iova)
{
	return iommu_iova_to_phys(b->domain, iova);
}

/* Nothing is mapped at @iova, by the tables and by a device's write. */
static void expect_nothing(struct bench *b, u64 iova, const char *what)
{
	expect(b, !is_mapped(b, iova), "%s: %#llx is mapped", what, iova);
	expect(b, !bench_write_lands(b, 0, iova), "%s: a write to %#llx landed", what, iova);
}

static void request_unaligned(struct bench *b)
{
	u64 page = phys_of(b);

	refuse(b, -EINVAL, BASE + 1, page, SZ_4K, "an odd address");
	refuse(b, -EINVAL, BASE + SZ_2K, page, SZ_4K, "an address in a page");
	refuse(b, -EINVAL, BASE, page + SZ_2K, SZ_4K, "memory in a page");
	refuse(b, -EINVAL, BASE, page, SZ_2K, "half a page");
	refuse(b, -EINVAL, BASE, page, SZ_4K + 1, "a page and a byte");
	expect_nothing(b, BASE, "after them");
}

static void request_empty(struct bench *b)
{
	refuse(b, -EINVAL, BASE, phys_of(b), 0, "zero bytes");
	expect_nothing(b, BASE, "after them");
	expect(b, iommu_unmap(b->domain, BASE, 0) == 0, "an unmap of zero bytes unmapped pages");
}

static void request_wraps(struct bench *b)
{
	u64 top = -(u64)SZ_4K;

	refuse(b, -ERANGE, top, phys_of(b), 2 * SZ_4K, "addresses that wrap");
	refuse(b, -ERANGE, BASE, top, 2 * SZ_4K, "memory that wraps");
	refuse(b, -ERANGE, BASE, phys_of(b), top, "nearly all bytes of the address space");
	expect_nothing(b, BASE, "after them");
	expect_nothing(b, 0, "after them");
	if (!CORE_COUNTS)
		expect(b, !iommu_unmap(b->domain, top, 2 * SZ_4K), "a wrapping unmap succeeded");
}

static void request_aperture(struct bench *b)
{
	u64 end = b->domain->geometry.aperture_end;

	refuse(b, -ERANGE, end + 1, phys_of(b), SZ_4K, "a page past the aperture");
	refuse(b, -ERANGE, end + 1 - SZ_4K, phys_of(b), 2 * SZ_4K, "a range across its end");
	expect_nothing(b, end + 1 - SZ_4K, "of the range");
	refuse(b, -ERANGE, end + 1 - SZ_2M, ALIGN_DOWN(phys_of(b), SZ_2M), 2 * SZ_2M,
	       "large pages across it");
	expect_nothing(b, end + 1 - SZ_2M, "of the large pages");
	expect(b, !map(b, end + 1 - SZ_4K, phys_of(b), SZ_4K), "its last page was refused");
	expect(b, iommu_unmap(b->domain, end + 1, SZ_4K) == 0, "an unmap past it unmapped pages");
	expect(b, is_mapped(b, end), "the last page was unmapped with them");
	expect(b, iommu_unmap(b->domain, end + 1 - SZ_4K, SZ_4K) == SZ_4K,
	       "the last page was not unmapped");
}

/* Beyond the machine's physical addresses. */
static void request_memory(struct bench *b)
{
	u64 limit = 1ULL << 52;

	refuse(b, -ERANGE, BASE, limit, SZ_4K, "memory past 52 bits");
	refuse(b, -ERANGE, BASE, limit - SZ_4K, 2 * SZ_4K, "memory across 52 bits");
	expect_nothing(b, BASE, "after them");
}

static void request_access(struct bench *b)
{
	int err = iommu_map(b->domain, BASE, phys_of(b), SZ_4K, 0, GFP_KERNEL);

	expect(b, err == -EINVAL, "a mapping that permits nothing: error %d", err);
	if (!err)
		iommu_unmap(b->domain, BASE, SZ_4K);
	expect_nothing(b, BASE, "after it");
}

static void request_twice(struct bench *b)
{
	u64 page = phys_of(b);

	expect(b, !map(b, BASE + 2 * SZ_4K, page, SZ_4K), "the first mapping was refused");
	refuse(b, -EADDRINUSE, BASE + 2 * SZ_4K, page, SZ_4K, "a second one");
	refuse(b, -EADDRINUSE, BASE, page, 4 * SZ_4K, "a range around it");
	expect_nothing(b, BASE, "of the range, before");
	expect_nothing(b, BASE + SZ_4K, "of the range, just before");
	expect_nothing(b, BASE + 3 * SZ_4K, "of the range, after it");
	expect(b, iommu_iova_to_phys(b->domain, BASE + 2 * SZ_4K) == page,
	       "the first mapping was changed");
	expect(b, bench_write_lands(b, 0, BASE + 2 * SZ_4K) == 1,
	       "a write through it did not land");
	expect(b, iommu_unmap(b->domain, BASE + 2 * SZ_4K, SZ_4K) == SZ_4K, "it was not unmapped");
}

/* A range of small and large pages, of which a late page is already mapped. */
static void request_over_small(struct bench *b)
{
	u64 page = phys_of(b), inside = page % SZ_2M;
	/* Two of three large pages hold memory of others. */
	u64 block = CORE_COUNTS ? NOWHERE : page - inside;
	u64 late = BASE + 2 * SZ_2M + 5 * SZ_4K;

	expect(b, !map(b, late, page, SZ_4K), "the small page was refused");
	refuse(b, -EADDRINUSE, BASE, block, 3 * SZ_2M, "large pages over it");
	expect_nothing(b, BASE, "of the large pages, the first");
	expect_nothing(b, BASE + SZ_2M + inside, "of the large pages, the second");
	expect_nothing(b, BASE + 2 * SZ_2M, "of the large pages, the third");
	expect(b, bench_write_lands(b, 0, late) == 1, "the small page does not work any more");
	expect(b, iommu_unmap(b->domain, late, SZ_4K) == SZ_4K, "it was not unmapped");
	expect(b, !map(b, BASE, block, 3 * SZ_2M), "they are refused although it is unmapped");
	expect(b, iommu_unmap(b->domain, BASE, 3 * SZ_2M) == 3 * SZ_2M, "they were not unmapped");
}

static void request_over_large(struct bench *b)
{
	u64 page = phys_of(b), block = ALIGN_DOWN(page, SZ_2M);

	expect(b, !map(b, BASE, block, SZ_2M), "the large page was refused");
	refuse(b, -EADDRINUSE, BASE + SZ_1M, page, SZ_4K, "a small page within it");
	refuse(b, -EADDRINUSE, BASE - SZ_4K, page, 2 * SZ_4K, "a range into it");
	expect_nothing(b, BASE - SZ_4K, "of the range, before it");
	expect(b, bench_write_lands(b, 0, BASE + page - block) == 1, "it does not work any more");
	expect(b, iommu_unmap(b->domain, BASE, SZ_2M) == SZ_2M, "it was not unmapped");
}

static void unmap_nothing(struct bench *b)
{
	expect(b, iommu_unmap(b->domain, BASE, SZ_4K) == 0, "an absent page was unmapped");
	expect(b, iommu_unmap(b->domain, BASE, SZ_1G) == 0, "a gigabyte was");
	expect(b, iommu_unmap(b->domain, 0, 1ULL << 39) == 0, "an absent range was unmapped");
}

static void unmap_inside(struct bench *b)
{
	u64 page = phys_of(b), block = ALIGN_DOWN(page, SZ_2M);

	expect(b, !map(b, BASE, block, SZ_2M), "the large page was refused");
	expect(b, iommu_unmap(b->domain, BASE + SZ_4K, SZ_4K) == 0, "part of it was unmapped");
	expect(b, iommu_unmap(b->domain, BASE + SZ_2M - SZ_4K, SZ_4K) == 0, "its end was unmapped");
	expect(b, bench_write_lands(b, 0, BASE + page - block) == 1, "it does not work any more");
	expect(b, iommu_unmap(b->domain, BASE, SZ_2M) == SZ_2M, "it was not unmapped");
}

/* The core's users expect the whole page to be unmapped, and get its size in return. */
static void unmap_start(struct bench *b)
{
	u64 page = phys_of(b), block = ALIGN_DOWN(page, SZ_2M);
	size_t gone;

	if (CORE_COUNTS) {
		seq_buf_puts(b->out, "skip: the core warns if more is unmapped than requested\n");
		return;
	}
	expect(b, !map(b, BASE, block, 2 * SZ_2M), "the large pages were refused");
	expect(b, bench_write_lands(b, 0, BASE + page - block) == 1, "the first does not work");
	gone = iommu_unmap(b->domain, BASE, SZ_4K);
	expect(b, gone == SZ_2M, "%#zx bytes were unmapped with the first page's start", gone);
	expect_nothing(b, BASE + page - block, "of the first page");
	expect(b, is_mapped(b, BASE + SZ_2M), "the second page was unmapped, too");
	expect(b, iommu_unmap(b->domain, BASE + SZ_2M, SZ_2M) == SZ_2M, "it was not unmapped");
}

static void unmap_hole(struct bench *b)
{
	size_t gone;

	expect(b, !map(b, BASE, phys_of(b), SZ_4K), "the first page was refused");
	expect(b, !map(b, BASE + 2 * SZ_4K, phys_of(b), SZ_4K), "the third page was refused");
	gone = iommu_unmap(b->domain, BASE, 3 * SZ_4K);
	expect(b, gone == SZ_4K, "%#zx bytes were unmapped up to the hole", gone);
	expect_nothing(b, BASE, "before the hole");
	expect(b, bench_write_lands(b, 0, BASE + 2 * SZ_4K) == 1, "the page after it was lost");
	expect(b, iommu_unmap(b->domain, BASE + 2 * SZ_4K, SZ_4K) == SZ_4K, "it was not unmapped");
}

/* One call unmaps mappings of several calls and sizes. */
static void unmap_mixed(struct bench *b)
{
	u64 block = ALIGN_DOWN(phys_of(b), SZ_2M);
	size_t gone;
	u64 at;

	for (at = BASE - 8 * SZ_4K; at < BASE; at += SZ_4K)
		expect(b, !map(b, at, phys_of(b), SZ_4K), "a small page was refused");
	expect(b, !map(b, BASE, block, SZ_2M), "the large page was refused");
	expect(b, !map(b, BASE + SZ_2M, phys_of(b), SZ_4K), "the page after it was refused");
	gone = iommu_unmap(b->domain, BASE - 8 * SZ_4K, SZ_2M + 9 * SZ_4K);
	expect(b, gone == SZ_2M + 9 * SZ_4K, "only %#zx bytes were unmapped", gone);
	expect_nothing(b, BASE - SZ_4K, "of the small pages");
	expect_nothing(b, BASE, "of the large page");
	expect_nothing(b, BASE + SZ_2M, "of the page after it");
}

const struct domain_scenario domain_requests[] = {
	{ "request-unaligned", 1, true, request_unaligned },
	{ "request-empty", 1, true, request_empty },
	{ "request-wraps", 1, true, request_wraps },
	{ "request-aperture", 1, true, request_aperture },
	{ "request-memory", 1, true, request_memory },
	{ "request-access", 1, true, request_access },
	{ "request-twice", 1, true, request_twice },
	{ "request-over-small", 1, true, request_over_small },
	{ "request-over-large", 1, true, request_over_large },
	{ "unmap-nothing", 1, true, unmap_nothing },
	{ "unmap-inside", 1, true, unmap_inside },
	{ "unmap-start", 1, true, unmap_start },
	{ "unmap-hole", 1, true, unmap_hole },
	{ "unmap-mixed", 1, true, unmap_mixed },
	{ }
};
