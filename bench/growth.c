// SPDX-License-Identifier: GPL-2.0
/*
 * What a 4K map and unmap take as the domain grows: 1 MiB of IOVA space in use,
 * with 4K pages throughout, to 64 GiB. The place is a hole in the middle of what
 * is in use, so that its tables are there from the start.
 */
#include "bench.h"

#define CHUNK	((u64)SZ_1M)

/* Chunk by chunk, so that the memory is never aligned to more than a page. */
static int grow(struct ground *g, u64 from, u64 to)
{
	int err = 0;

	for (; !err && from < to; from += CHUNK)
		err = iommu_map(g->domain, BASE + from, PHYS + SZ_4K, CHUNK, PROT,
				GFP_KERNEL);
	return err;
}

static int measure(struct ground *g, u64 size, struct ticks *map,
		   struct ticks *unmap)
{
	u64 iova = BASE + size / 2 + 3 * SZ_4K, ticks;
	phys_addr_t phys = iommu_iova_to_phys(g->domain, iova);
	size_t unmapped;
	int i, err;

	if (!phys)
		return -EIO;
	for (i = 0; i < WARM_UP + REPETITIONS; i++) {
		ticks = ticks_of(unmapped = iommu_unmap(g->domain, iova, SZ_4K));
		if (unmapped != SZ_4K)
			return -EIO;
		if (i >= WARM_UP)
			ticks_add(unmap, ticks);
		ticks = ticks_of(err = iommu_map(g->domain, iova, phys, SZ_4K, PROT,
						 GFP_ATOMIC));
		if (err)
			return err;
		if (i >= WARM_UP)
			ticks_add(map, ticks);
	}
	return 0;
}

int measure_growth(struct seq_buf *out, const char *unused)
{
	static const u64 sizes[] = { SZ_1M, SZ_16M, SZ_256M, SZ_1G, SZ_1G * 4ULL,
				     SZ_1G * 16ULL, SZ_1G * 64ULL };
	struct ground g;
	u64 used = 0;
	int i, err;

	err = ground_open(&g, true);
	if (err)
		return err;
	for (i = 0; !err && i < ARRAY_SIZE(sizes); i++) {
		struct ticks map = {}, unmap = {};

		err = grow(&g, used, sizes[i]);
		used = sizes[i];
		err = err ?: measure(&g, used, &map, &unmap);
		if (err)
			break;
		seq_buf_printf(out, "growth op=map mib=%llu", used >> 20);
		ticks_tell(out, &map);
		seq_buf_printf(out, "growth op=unmap mib=%llu", used >> 20);
		ticks_tell(out, &unmap);
	}
	if (!err && iommu_unmap(g.domain, BASE, used) != used)
		err = -EIO;
	ground_close(&g);
	return err;
}
