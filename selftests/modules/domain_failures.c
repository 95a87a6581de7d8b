// SPDX-License-Identifier: GPL-2.0
/*
 * Each allocation of an operation fails once, in turn: the operation is then refused
 * and has changed nothing, or it succeeds without the allocation. Operations that must
 * not fail, because their caller cannot undo them, must succeed without it.
 *
 * Needs a kernel with fault injection, set up as selftests/alloc-failures.sh does.
 */
#include <linux/dma-mapping.h>
#include <linux/mm.h>
#include <linux/sizes.h>

#include "domain.h"
#include "nth.h"

#define PROT	(IOMMU_READ | IOMMU_WRITE)
#define BASE	(64ULL * SZ_1G)
/* More allocations than any of the operations makes. */
#define MANY	200

/* An operation, its preparation and its check. */
struct operation {
	/* Prepares; an error ends the scenario. */
	int (*before)(struct bench *b);
	/* The operation itself; allocations in it fail. */
	int (*act)(struct bench *b);
	/* Checks the state after @err, and restores the one before. */
	void (*after)(struct bench *b, int err);
	bool must_succeed;	/* although memory is lacking */
	int least;		/* the least number of refusals */
};

static void free_domain(struct bench *b)
{
	if (!IS_ERR_OR_NULL(b->domain)) {
		/* Otherwise IOMMU_DEBUG_PAGEALLOC counts the page as mapped for ever. */
		if (iommu_iova_to_phys(b->domain, BASE))
			iommu_unmap(b->domain, BASE, SZ_4K);
		iommu_domain_free(b->domain);
	}
	b->domain = NULL;
}

static void each_allocation(struct bench *b, const struct operation *op)
{
	unsigned int refused = 0, nth, left = 0;
	int err;

	for (nth = 1; nth <= MANY && !left; nth++) {
		err = op->before(b);
		expect(b, !err, "allocation %u: the preparation failed: error %d", nth, err);
		if (err)
			return;
		nth_arm(nth);
		err = op->act(b);
		left = nth_disarm();
		expect(b, !err || err == -ENOMEM, "allocation %u: error %d", nth, err);
		expect(b, !err || !left, "no allocation failed, and yet error %d", err);
		expect(b, !err || !op->must_succeed, "allocation %u: it was refused", nth);
		refused += !!err;
		op->after(b, err);
	}
	free_domain(b);
	/* No allocation failed in the last round. */
	nth -= 2;
	expect(b, left, "more than %u allocations", nth);
	expect(b, (int)refused >= op->least, "refused only %u times, not %d", refused, op->least);
	snprintf(b->note, sizeof(b->note), ": %u allocations failed in turn, %u of them refused it",
		 nth, refused);
}

/* The scenario fail_NAME, whose operation is what follows. */
#define SCENARIO(name, ...)							\
static void fail_##name(struct bench *b)					\
{										\
	static const struct operation op = { __VA_ARGS__ };			\
	each_allocation(b, &op);						\
}										\
static_assert(true)

static bool is_default(struct bench *b)
{
	struct iommu_domain *now = iommu_get_domain_for_dev(&b->dev[0]->pdev->dev);

	return now && now != b->domain && now->type == IOMMU_DOMAIN_DMA;
}

static void release_after(struct bench *b)
{
	bench_release(b);
	expect(b, is_default(b), "after the release the device does not have its default domain");
}

static void detach_after(struct bench *b, int err)
{
	bench_detach(b);
	expect(b, !bench_write_lands(b, 0, BASE), "a write landed after the detach");
	release_after(b);
}

static int new_domain(struct bench *b)
{
	struct iommu_domain *domain = iommu_paging_domain_alloc(&b->dev[0]->pdev->dev);

	/*
	 * The old one is freed only now: a device returns to a domain at the same address with the
	 * domain-id that it kept, and so with one allocation less.
	 */
	free_domain(b);
	b->domain = domain;
	return PTR_ERR_OR_ZERO(b->domain);
}

static int map_page(struct bench *b)
{
	return iommu_map(b->domain, BASE, page_to_phys(b->page), SZ_4K, PROT, GFP_KERNEL);
}

static int new_domain_with_page(struct bench *b)
{
	return new_domain(b) ?: map_page(b);
}

/* --- domains --- */

static int no_domain(struct bench *b)
{
	free_domain(b);
	return 0;
}

static void default_after(struct bench *b, int err)
{
	expect(b, is_default(b), "the device does not have its default domain");
}

SCENARIO(domain, .before = no_domain, .act = new_domain, .after = default_after, .least = 2);

/* --- claiming, which attaches to the blocked domain --- */

static void claim_after(struct bench *b, int err)
{
	expect(b, is_default(b) == !!err, "after error %d the device has its default domain: %d",
	       err, is_default(b));
	release_after(b);
}

SCENARIO(claim, .before = no_domain, .act = bench_claim, .after = claim_after);

/*
 * --- attaching a domain that is no group's first default domain ---
 *
 * The probe reserves all that the first attach takes, see selftests/alloc-failures.sh.
 */

static int claimed(struct bench *b)
{
	return new_domain_with_page(b) ?: bench_claim(b);
}

static void attach_after(struct bench *b, int err)
{
	expect(b, bench_write_lands(b, 0, BASE) == !err,
	       "after error %d of an attach a write had the wrong result", err);
	detach_after(b, err);
}

SCENARIO(attach, .before = claimed, .act = bench_attach, .after = attach_after, .least = 3);

/* --- mapping --- */

struct shape {
	u64 iova, phys, size;
};

/* Across the borders of tables of every level, so that many are allocated. */
static struct shape wide_of(struct bench *b)
{
	struct shape s = { .iova = BASE + SZ_1G - SZ_2M - SZ_4K, .size = 2ULL * SZ_2M + 2 * SZ_4K };

	/* These are only addresses: the device writes to no other page. */
	s.phys = NOWHERE + SZ_1G - SZ_2M - SZ_4K;
	return s;
}

static int attached_to_empty(struct bench *b)
{
	int err = new_domain(b);

	return err ?: bench_claim(b) ?: bench_attach(b);
}

static void leave_domain(struct bench *b)
{
	bench_detach(b);
	bench_release(b);
}

static void map_after(struct bench *b, int err)
{
	if (err) {
		expect(b, !iommu_iova_to_phys(b->domain, BASE), "a refused page is mapped");
		expect(b, !bench_write_lands(b, 0, BASE), "a write to a refused page landed");
		err = map_page(b);
		expect(b, !err, "a second try: error %d", err);
	}
	expect(b, bench_write_lands(b, 0, BASE) == 1, "a write to a mapped page did not land");
	expect(b, iommu_unmap(b->domain, BASE, SZ_4K) == SZ_4K, "the mapped page was not unmapped");
	leave_domain(b);
}

SCENARIO(map, .before = attached_to_empty, .act = map_page, .after = map_after, .least = 2);

static int map_wide(struct bench *b)
{
	struct shape s = wide_of(b);

	return iommu_map(b->domain, s.iova, s.phys, s.size, PROT, GFP_KERNEL);
}

static void expect_wide(struct bench *b, bool mapped)
{
	struct shape s = wide_of(b);
	u64 at;

	for (at = 0; at < s.size; at += SZ_4K)
		if (iommu_iova_to_phys(b->domain, s.iova + at) != (mapped ? s.phys + at : 0)) {
			seq_buf_printf(b->out, "offset %#llx of %s range is wrong\n", at,
				       mapped ? "a mapped" : "an unmapped");
			return;
		}
}

static void wide_after(struct bench *b, int err)
{
	struct shape s = wide_of(b);

	expect_wide(b, !err);
	if (err) {
		err = map_wide(b);
		expect(b, !err, "a second try: error %d", err);
		expect_wide(b, true);
	}
	expect(b, iommu_unmap(b->domain, s.iova, s.size) == s.size, "part of it was not unmapped");
	expect_wide(b, false);
	leave_domain(b);
}

SCENARIO(map_wide, .before = attached_to_empty, .act = map_wide, .after = wide_after,
	 .least = 4);

/* --- operations that must not fail --- */

static int attached_with_wide(struct bench *b)
{
	return attached_to_empty(b) ?: map_wide(b);
}

static int unmap_wide(struct bench *b)
{
	u64 size = wide_of(b).size;

	return iommu_unmap(b->domain, wide_of(b).iova, size) == size ? 0 : -EIO;
}

static void unmap_after(struct bench *b, int err)
{
	expect_wide(b, false);
	leave_domain(b);
}

SCENARIO(unmap, .before = attached_with_wide, .act = unmap_wide, .after = unmap_after,
	 .must_succeed = true);

static int attached_with_page(struct bench *b)
{
	return attached_to_empty(b) ?: map_page(b);
}

static int detach(struct bench *b)
{
	bench_detach(b);
	return 0;
}

SCENARIO(detach, .before = attached_with_page, .act = detach, .after = detach_after,
	 .must_succeed = true);

static int release(struct bench *b)
{
	bench_release(b);
	return 0;
}

SCENARIO(release, .before = claimed, .act = release, .after = default_after, .must_succeed = true);

/* --- the DMA API --- */

static dma_addr_t handle;

static int map_for_dma(struct bench *b)
{
	struct device *dev = &b->dev[0]->pdev->dev;

	handle = dma_map_page(dev, b->page, 0, PAGE_SIZE, DMA_BIDIRECTIONAL);
	return dma_mapping_error(dev, handle);
}

static void dma_after(struct bench *b, int err)
{
	if (err)
		return;
	expect(b, bench_write_lands(b, 0, handle) == 1, "a write to a mapped page did not land");
	dma_unmap_page(&b->dev[0]->pdev->dev, handle, PAGE_SIZE, DMA_BIDIRECTIONAL);
	expect(b, !bench_write_lands(b, 0, handle), "a write landed after the unmap");
}

SCENARIO(dma_map, .before = no_domain, .act = map_for_dma, .after = dma_after);

static void *coherent;

static int alloc_for_dma(struct bench *b)
{
	coherent = dma_alloc_coherent(&b->dev[0]->pdev->dev, 4 * PAGE_SIZE, &handle, GFP_KERNEL);
	return coherent ? 0 : -ENOMEM;
}

static void coherent_after(struct bench *b, int err)
{
	if (!err)
		dma_free_coherent(&b->dev[0]->pdev->dev, 4 * PAGE_SIZE, coherent, handle);
	expect(b, is_default(b), "the device has lost its default domain");
}

SCENARIO(dma_alloc, .before = no_domain, .act = alloc_for_dma, .after = coherent_after,
	 .least = 1);

const struct domain_scenario domain_failures[] = {
	{ "fail-domain", 1, false, fail_domain },
	{ "fail-claim", 1, false, fail_claim },
	{ "fail-attach", 1, false, fail_attach },
	{ "fail-map", 1, false, fail_map },
	{ "fail-map-wide", 1, false, fail_map_wide },
	{ "fail-unmap", 1, false, fail_unmap },
	{ "fail-detach", 1, false, fail_detach },
	{ "fail-release", 1, false, fail_release },
	{ "fail-dma-map", 1, false, fail_dma_map },
	{ "fail-dma-alloc", 1, false, fail_dma_alloc },
	{ }
};
