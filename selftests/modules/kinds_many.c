// SPDX-License-Identifier: GPL-2.0
/* Many unmaps at a time, and unmaps of many pages. */
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include "kinds.h"

/* The most elements of a scattered list. */
#define SCATTERED	64

struct many {
	struct page *pages[MANY];
	dma_addr_t iovas[MANY];
};

static int held_of(struct many *many, int count)
{
	int held = 0, i;

	for (i = 0; i < count; i++)
		held += page_ref_count(many->pages[i]) - 1;
	return held;
}

/* @wanted different blocks of memory, one unmap of the first page of each. */
int vtd_kinds_many(struct seq_buf *out, const char *name, int wanted, unsigned int order)
{
	struct many *many = kvzalloc(sizeof(*many), GFP_KERNEL);
	int taken, count, err = -ENOMEM, i;
	struct device *dev = &vtd_kinds_pdev->dev;
	size_t len = PAGE_SIZE;
	unsigned long flags;

	if (!many)
		return -ENOMEM;
	for (count = 0; count < wanted; count++) {
		struct page *page = alloc_pages(GFP_KERNEL | (order ? __GFP_COMP : 0), order);

		if (!page)
			goto out;
		many->pages[count] = page;
		many->iovas[count] = dma_map_page(dev, page, 0, len, DMA_BIDIRECTIONAL);
		if (dma_mapping_error(dev, many->iovas[count])) {
			__free_pages(page, order);
			goto out;
		}
	}
	err = 0;
out:
	local_irq_save(flags);
	for (i = 0; i < count; i++)
		dma_unmap_page(dev, many->iovas[i], len, DMA_BIDIRECTIONAL);
	taken = held_of(many, count);
	local_irq_restore(flags);
	msleep(200);
	if (!err)
		seq_buf_printf(out, "kind=%s taken=%d left=%d\n", name, taken,
			       held_of(many, count));
	for (i = 0; i < count; i++)
		__free_pages(many->pages[i], order);
	kvfree(many);
	return err;
}

/* A scattered list of separate pages, one unmap for all. */
int vtd_kinds_scattered(struct seq_buf *out, int count)
{
	static struct scatterlist list[SCATTERED];
	int before = 0, after = 0, left = 0, got, i, err = -ENOMEM;
	unsigned long flags;

	if (count < 1 || count > SCATTERED)
		return -EINVAL;
	sg_init_table(list, count);
	for (got = 0; got < count; got++) {
		/* Two pages each, of which one is mapped: no two are neighbours. */
		struct page *page = alloc_pages(GFP_KERNEL | __GFP_COMP, 1);

		if (!page)
			goto out;
		sg_set_page(&list[got], page, PAGE_SIZE, 0);
	}
	for (i = 0; i < count; i++)
		before += references(sg_page(&list[i]));
	if (!dma_map_sg(&vtd_kinds_pdev->dev, list, count, DMA_BIDIRECTIONAL))
		goto out;
	local_irq_save(flags);
	dma_unmap_sg(&vtd_kinds_pdev->dev, list, count, DMA_BIDIRECTIONAL);
	for (i = 0; i < count; i++)
		after += references(sg_page(&list[i]));
	local_irq_restore(flags);
	msleep(200);
	for (i = 0; i < count; i++)
		left += references(sg_page(&list[i]));
	seq_buf_printf(out, "kind=scattered-%d taken=%d left=%d\n", count, after - before,
		       left - before);
	err = 0;
out:
	for (i = 0; i < got; i++)
		__free_pages(sg_page(&list[i]), 1);
	return err;
}
