// SPDX-License-Identifier: GPL-2.0
/*
 * References to memory of other owners. One function decides which memory
 * can be referenced: as separate helpers, its calls would cost more than the reference.
 */
#include <linux/hugetlb.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include "helpers.h"

/* Returns what typed memory is, except hugetlb, which is as memory without a type. */
static u32 why_not(const struct folio *folio)
{
	/* kfree() frees an object, and the next kmalloc() reuses it; its page has no count. */
	if (folio_test_slab(folio) || folio_test_large_kmalloc(folio))
		return VTD_HOLD_SLAB;
	/* __folio_put() knows no other type, and owners of typed pages do not expect it. */
	return folio_test_hugetlb(folio) ? VTD_HOLD_HELD : VTD_HOLD_OTHER;
}

struct folio *vtd_helper_folio_try_hold(u64 phys, struct vtd_held *held)
{
	struct page *page = pfn_to_online_page(PHYS_PFN(phys));
	struct folio *folio;

	held->why = VTD_HOLD_OTHER;
	/* free_reserved_page() sets the count, whatever it is. */
	if (!page || PageReserved(page))
		return NULL;
	/* free_zone_device_folio() calls the owner of the device memory. */
	if (is_zone_device_page(page))
		return NULL;
	/* cma_release() frees pages although others hold references. */
	if (zone_cma_pages(page_zone(page)))
		return NULL;
	folio = page_folio(page);
	if (unlikely(page_has_type(&folio->page))) {
		held->why = why_not(folio);
		if (held->why != VTD_HOLD_HELD)
			return NULL;
	}
	/* 0: free, or a later page of a block that is no folio. */
	if (!folio_try_get(folio)) {
		held->why = VTD_HOLD_OTHER;
		return NULL;
	}
	held->order = folio_order(folio);
	held->start = PFN_PHYS(folio_pfn(folio));
	held->end = held->start + (PAGE_SIZE << held->order);
	/* Not if its owner freed the memory before it was unmapped. Nor may it be put here. */
	held->why = likely(page_folio(page) == folio) ? VTD_HOLD_HELD : VTD_HOLD_OTHER;
	return folio;
}

/* Returns the number of pages to which these were the last references: they are free now. */
u64 vtd_helper_folios_put(struct folio **folios, u32 count)
{
	u64 freed = 0;
	u32 i;

	for (i = 0; i < count; i++) {
		struct folio *folio = folios[i];
		unsigned long pages = folio_nr_pages(folio);

		if (!folio_put_testzero(folio))
			continue;
		__folio_put(folio);
		freed += pages;
	}
	return freed;
}

bool vtd_helper_irqs_disabled(void)
{
	return irqs_disabled();
}

u64 vtd_helper_totalram_pages(void)
{
	return totalram_pages();
}
