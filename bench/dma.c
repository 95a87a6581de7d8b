// SPDX-License-Identifier: GPL-2.0
/*
 * Instructions of dma_map_*() and dma_unmap_*() on one processor; strict or
 * lazy as the guest was booted. Interrupts are off for one call at a time, so a
 * lazy flush by timer falls between calls; one that a full queue forces falls
 * into a call, and the mean has it.
 */
#include <linux/dma-mapping.h>
#include <linux/scatterlist.h>

#include "bench.h"

#define SG_PAGES	64
#define DMA_WARM_UP	1024
#define DMA_ROUNDS	1024

struct dma_ground {
	struct device *dev;
	void *buffer;
	struct sg_table sg;
	struct ticks map, unmap;
};

static void tell(struct seq_buf *out, const char *op, int pages, bool sg,
		 const struct ticks *t)
{
	seq_buf_printf(out, "dma op=%s pages=%d sg=%d", op, pages, sg);
	ticks_tell(out, t);
}

static int single(struct dma_ground *g, size_t bytes)
{
	dma_addr_t at;
	u64 ticks;

	ticks = ticks_of(at = dma_map_single(g->dev, g->buffer, bytes,
					     DMA_BIDIRECTIONAL));
	if (dma_mapping_error(g->dev, at))
		return -ENOMEM;
	ticks_add(&g->map, ticks);
	ticks = ticks_of(dma_unmap_single(g->dev, at, bytes, DMA_BIDIRECTIONAL));
	ticks_add(&g->unmap, ticks);
	return 0;
}

static int scattered(struct dma_ground *g, size_t unused)
{
	u64 ticks;
	int mapped;

	ticks = ticks_of(mapped = dma_map_sg(g->dev, g->sg.sgl, g->sg.orig_nents,
					     DMA_BIDIRECTIONAL));
	if (!mapped)
		return -ENOMEM;
	ticks_add(&g->map, ticks);
	ticks = ticks_of(dma_unmap_sg(g->dev, g->sg.sgl, g->sg.orig_nents,
				      DMA_BIDIRECTIONAL));
	ticks_add(&g->unmap, ticks);
	return 0;
}

static int rounds(struct dma_ground *g, int (*once)(struct dma_ground *, size_t),
		  size_t bytes)
{
	int i, err = 0;

	for (i = 0; !err && i < DMA_WARM_UP + DMA_ROUNDS; i++) {
		if (i == DMA_WARM_UP) {
			memset(&g->map, 0, sizeof(g->map));
			memset(&g->unmap, 0, sizeof(g->unmap));
		}
		err = once(g, bytes);
	}
	return err;
}

/* Every other page of the buffer, so that no two are next to each other. */
static int fill_table(struct dma_ground *g)
{
	struct scatterlist *sg;
	int i, err;

	err = sg_alloc_table(&g->sg, SG_PAGES, GFP_KERNEL);
	if (err)
		return err;
	for_each_sgtable_sg(&g->sg, sg, i)
		sg_set_buf(sg, g->buffer + 2 * i * PAGE_SIZE, PAGE_SIZE);
	return 0;
}

static int measure(struct seq_buf *out, struct dma_ground *g)
{
	static const int pages[] = { 1, 16, 512 };
	int i, err;

	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		err = rounds(g, single, pages[i] * PAGE_SIZE);
		if (err)
			return err;
		tell(out, "map", pages[i], false, &g->map);
		tell(out, "unmap", pages[i], false, &g->unmap);
	}
	err = rounds(g, scattered, 0);
	if (err)
		return err;
	tell(out, "map", SG_PAGES, true, &g->map);
	tell(out, "unmap", SG_PAGES, true, &g->unmap);
	return 0;
}

int measure_dma(struct seq_buf *out, const char *unused)
{
	struct dma_ground g = {};
	struct ground device;
	int err;

	/* Not attached: the device stays in its default domain. */
	err = ground_open(&device, false);
	if (err)
		return err;
	g.dev = &device.pdev->dev;
	err = dma_set_mask_and_coherent(g.dev, DMA_BIT_MASK(64));
	if (err)
		goto close;
	err = -ENOMEM;
	g.buffer = alloc_pages_exact(512 * PAGE_SIZE, GFP_KERNEL);
	if (!g.buffer)
		goto close;
	err = fill_table(&g) ?: measure(out, &g);
	sg_free_table(&g.sg);
	free_pages_exact(g.buffer, 512 * PAGE_SIZE);
close:
	ground_close(&device);
	return err;
}
