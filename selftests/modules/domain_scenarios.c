// SPDX-License-Identifier: GPL-2.0
/* What the scenarios do with an unmanaged domain, and what must hold then. */
#include <linux/mm.h>
#include <linux/sizes.h>

#include "domain.h"

#define PROT	(IOMMU_READ | IOMMU_WRITE)
/* The IOVAs are above memory, so that none equals its physical address. */
#define BASE	(64ULL * SZ_1G)

/*
 * Map the naturally aligned block of @size that holds the bench's page, use it,
 * unmap it. The device only ever writes to that page.
 */
static void map_block(struct bench *b, u64 size)
{
	phys_addr_t phys = ALIGN_DOWN(page_to_phys(b->page), size);
	dma_addr_t iova = BASE + page_to_phys(b->page) - phys;
	/* A block larger than the bench's memory holds other memory, too. */
	bool watched = CORE_COUNTS && size > SZ_2M;
	size_t gone;
	int i, err;

	if (watched)
		phys = NOWHERE;

	if (!(b->domain->pgsize_bitmap & size)) {
		seq_buf_printf(b->out, "skip: the unit has no pages of %#llx bytes\n", size);
		return;
	}
	err = iommu_map(b->domain, BASE, phys, size, PROT, GFP_KERNEL);
	expect(b, !err, "iommu_map of %#llx bytes: error %d", size, err);
	if (err)
		return;
	expect(b, iommu_iova_to_phys(b->domain, BASE) == phys, "the first byte is elsewhere");
	expect(b, iommu_iova_to_phys(b->domain, BASE + size - 1) == phys + size - 1,
	       "the last byte is elsewhere");
	expect(b, !iommu_iova_to_phys(b->domain, BASE - 1), "the byte before is mapped");
	expect(b, !iommu_iova_to_phys(b->domain, BASE + size), "the byte after is mapped");
	for (i = 0; i < b->attached && !watched; i++)
		expect(b, bench_write_lands(b, i, iova) == 1,
		       "a write of device %d to a mapped page did not land", i);

	gone = iommu_unmap(b->domain, BASE, size);
	expect(b, gone == size, "iommu_unmap unmapped %#zx of %#llx bytes", gone, size);
	expect(b, !iommu_iova_to_phys(b->domain, BASE), "still mapped after iommu_unmap");
	for (i = 0; i < b->attached; i++)
		expect(b, !bench_write_lands(b, i, iova),
		       "a write of device %d landed after iommu_unmap", i);
}

static void map_4k(struct bench *b)
{
	map_block(b, SZ_4K);
}

static void map_2m(struct bench *b)
{
	map_block(b, SZ_2M);
}

static void map_1g(struct bench *b)
{
	map_block(b, SZ_1G);
}

/* One call that needs every page size and has unaligned ends. */
static void map_mixed(struct bench *b)
{
	u64 size = SZ_1G + 3ULL * SZ_2M + 5ULL * SZ_4K;
	/* Congruent modulo 1 GiB, so that the largest pages fit in the middle. */
	dma_addr_t iova = BASE + SZ_1G - 2ULL * SZ_2M - 2ULL * SZ_4K;
	phys_addr_t phys = NOWHERE + SZ_1G - 2ULL * SZ_2M - 2ULL * SZ_4K;
	size_t gone;
	u64 at;
	int err;

	err = iommu_map(b->domain, iova, phys, size, PROT, GFP_KERNEL);
	expect(b, !err, "iommu_map of %#llx bytes: error %d", size, err);
	if (err)
		return;
	for (at = 0; at < size; at += SZ_1M + SZ_4K)
		expect(b, iommu_iova_to_phys(b->domain, iova + at) == phys + at,
		       "offset %#llx is elsewhere", at);
	gone = iommu_unmap(b->domain, iova, size);
	expect(b, gone == size, "iommu_unmap unmapped %#zx of %#llx bytes", gone, size);
	for (at = 0; at < size; at += SZ_1M + SZ_4K)
		expect(b, !iommu_iova_to_phys(b->domain, iova + at),
		       "offset %#llx is still mapped", at);
}

/*
 * Unmap two adjacent pages, one on each side of a multiple of 1 GiB, in one call. The
 * smallest block that covers both has more pages than one invalidation of a block may
 * have on QEMU's unit (2^18).
 */
static void across_1g(struct bench *b)
{
	static const u64 multiples[] = { BASE, BASE + SZ_1G, BASE + 2ULL * SZ_1G };
	int i, page, err;

	for (i = 0; i < ARRAY_SIZE(multiples); i++) {
		dma_addr_t first = multiples[i] - SZ_4K;

		for (page = 0; page < 2; page++) {
			dma_addr_t iova = first + page * SZ_4K;

			err = iommu_map(b->domain, iova, page_to_phys(b->page), SZ_4K,
					PROT, GFP_KERNEL);
			expect(b, !err, "iommu_map at %#llx: error %d", (u64)iova, err);
			expect(b, bench_write_lands(b, 0, iova) == 1,
			       "a write to %#llx, which is mapped, did not land", (u64)iova);
		}
		expect(b, iommu_unmap(b->domain, first, 2 * SZ_4K) == 2 * SZ_4K,
		       "the pages at %#llx were not both unmapped", (u64)first);
		for (page = 0; page < 2; page++)
			expect(b, !bench_write_lands(b, 0, first + page * SZ_4K),
			       "a write to %#llx landed after iommu_unmap",
			       (u64)first + page * SZ_4K);
	}
}

/* A table of small pages is replaced by one large page, and back. */
static void resize(struct bench *b)
{
	phys_addr_t phys = ALIGN_DOWN(page_to_phys(b->page), SZ_2M);
	dma_addr_t iova = BASE + page_to_phys(b->page) - phys;
	int round, err;
	u64 at;

	for (round = 0; round < 3; round++) {
		for (at = 0; at < SZ_2M; at += SZ_4K) {
			err = iommu_map(b->domain, BASE + at, phys + at, SZ_4K,
					PROT, GFP_KERNEL);
			expect(b, !err, "round %d: small page at %#llx: error %d",
			       round, at, err);
		}
		expect(b, bench_write_lands(b, 0, iova) == 1,
		       "round %d: a write through a small page did not land", round);
		expect(b, iommu_unmap(b->domain, BASE, SZ_2M) == SZ_2M,
		       "round %d: the small pages were not all unmapped", round);
		expect(b, !bench_write_lands(b, 0, iova),
		       "round %d: a write landed after the small pages were unmapped", round);
		err = iommu_map(b->domain, BASE, phys, SZ_2M, PROT, GFP_KERNEL);
		expect(b, !err, "round %d: large page: error %d", round, err);
		expect(b, bench_write_lands(b, 0, iova) == 1,
		       "round %d: a write through the large page did not land", round);
		expect(b, iommu_unmap(b->domain, BASE, SZ_2M) == SZ_2M,
		       "round %d: the large page was not unmapped", round);
	}
}

static void occupied(struct bench *b)
{
	phys_addr_t phys = page_to_phys(b->page);
	int err;

	err = iommu_map(b->domain, BASE, phys, SZ_4K, PROT, GFP_KERNEL);
	expect(b, !err, "iommu_map: error %d", err);
	err = iommu_map(b->domain, BASE, NOWHERE, SZ_4K, PROT, GFP_KERNEL);
	expect(b, err, "a second mapping of the same address was accepted");
	err = iommu_map(b->domain, BASE, NOWHERE, SZ_2M, PROT, GFP_KERNEL);
	expect(b, err, "a large page over a small one was accepted");
	expect(b, iommu_iova_to_phys(b->domain, BASE) == phys,
	       "the first mapping was changed by the refused ones");
	expect(b, iommu_unmap(b->domain, BASE, SZ_4K) == SZ_4K, "iommu_unmap failed");
}

static void width(struct bench *b)
{
	u64 end = b->domain->geometry.aperture_end;
	int err;

	expect(b, b->domain->geometry.force_aperture, "force_aperture is not set");
	expect(b, end >= (1ULL << 39) - 1 && !((end + 1) & end),
	       "the aperture ends at %#llx", end);
	err = iommu_map(b->domain, end + 1 - SZ_4K, page_to_phys(b->page), SZ_4K,
			PROT, GFP_KERNEL);
	expect(b, !err, "the last page of the aperture: error %d", err);
	expect(b, bench_write_lands(b, 0, end + 1 - SZ_4K) == 1,
	       "a write to the last page did not land");
	expect(b, iommu_unmap(b->domain, end + 1 - SZ_4K, SZ_4K) == SZ_4K,
	       "the last page was not unmapped");
	if (end == U64_MAX)
		return;
	err = iommu_map(b->domain, end + 1, page_to_phys(b->page), SZ_4K, PROT, GFP_KERNEL);
	expect(b, err, "a page beyond the aperture was accepted");
	if (!err)
		iommu_unmap(b->domain, end + 1, SZ_4K);
}

static void read_only(struct bench *b)
{
	int err;

	err = iommu_map(b->domain, BASE, page_to_phys(b->page), SZ_4K,
			IOMMU_READ, GFP_KERNEL);
	expect(b, !err, "iommu_map: error %d", err);
	expect(b, !bench_write_lands(b, 0, BASE), "a write to a read-only page landed");
	expect(b, iommu_unmap(b->domain, BASE, SZ_4K) == SZ_4K, "iommu_unmap failed");
}

/* A claimed group is blocked before a domain is attached, and after its detach. */
static void blocked(struct bench *b)
{
	int err;

	err = iommu_map(b->domain, BASE, page_to_phys(b->page), SZ_4K, PROT, GFP_KERNEL);
	expect(b, !err, "iommu_map: error %d", err);
	err = bench_claim(b);
	expect(b, !err, "claiming the group: error %d", err);
	expect(b, !bench_write_lands(b, 0, BASE), "a write landed before a domain was attached");
	expect(b, !bench_write_lands(b, 0, page_to_phys(b->page)),
	       "a write to physical memory landed: the claimed group reaches it");
	err = bench_attach(b);
	expect(b, !err, "attaching: error %d", err);
	expect(b, bench_write_lands(b, 0, BASE) == 1, "a write through the domain did not land");
	bench_detach(b);
	expect(b, !bench_write_lands(b, 0, BASE), "a write landed after the detach");
	bench_release(b);
	expect(b, !bench_write_lands(b, 0, BASE), "a write landed after the release");
	iommu_unmap(b->domain, BASE, SZ_4K);
}

static void second_owner(struct bench *b)
{
	struct iommu_domain *other;
	int err;

	err = iommu_device_claim_dma_owner(&b->dev[0]->pdev->dev, &err);
	expect(b, err, "a second owner could claim the group");
	other = iommu_paging_domain_alloc(&b->dev[0]->pdev->dev);
	if (IS_ERR(other)) {
		expect(b, false, "a second domain: error %ld", PTR_ERR(other));
		return;
	}
	err = iommu_attach_group(other, b->group[0]);
	expect(b, err, "a second domain could be attached in addition to the first");
	if (!err)
		iommu_detach_group(other, b->group[0]);
	iommu_domain_free(other);
}

/* Two devices in one domain: an unmap takes effect for both. */
static void shared(struct bench *b)
{
	expect(b, b->attached == 2, "%d devices are attached, not 2", b->attached);
	map_block(b, SZ_4K);
	map_block(b, SZ_2M);
}

/* Attach and detach repeatedly: domain-ids and context entries are released. */
static void churn(struct bench *b)
{
	int round, err;

	err = iommu_map(b->domain, BASE, page_to_phys(b->page), SZ_4K, PROT, GFP_KERNEL);
	expect(b, !err, "iommu_map: error %d", err);
	for (round = 0; round < 10; round++) {
		bench_detach(b);
		expect(b, !bench_write_lands(b, 1, BASE),
		       "round %d: a write landed detached", round);
		err = bench_attach(b);
		expect(b, !err, "round %d: attach: error %d", round, err);
		expect(b, bench_write_lands(b, 1, BASE) == 1,
		       "round %d: a write did not land attached", round);
	}
	iommu_unmap(b->domain, BASE, SZ_4K);
}

const struct domain_scenario domain_scenarios[] = {
	{ "map-4k", 1, true, map_4k },
	{ "map-2m", 1, true, map_2m },
	{ "map-1g", 1, true, map_1g },
	{ "map-mixed", 1, true, map_mixed },
	{ "across-1g", 1, true, across_1g },
	{ "resize", 1, true, resize },
	{ "occupied", 1, true, occupied },
	{ "width", 1, true, width },
	{ "read-only", 1, true, read_only },
	{ "blocked", 1, false, blocked },
	{ "second-owner", 1, true, second_owner },
	{ "shared", 2, true, shared },
	{ "churn", 2, true, churn },
	{ "oracle", 1, true, play_oracle },
	{ "threads", 1, true, play_threads },
	{ }
};
