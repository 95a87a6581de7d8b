// SPDX-License-Identifier: GPL-2.0
/* The works, and the arithmetic of times. */
#include "bench.h"

#define PAGES(n)	((n) * (u64)SZ_4K)
#define MEGA(n)		((n) * (u64)SZ_2M)

const struct work works[] = {
	{ "4K", PAGES(3), PAGES(77), PAGES(1) },
	{ "16x4K", PAGES(3), PAGES(77), PAGES(16) },
	{ "256x4K", PAGES(131), PAGES(77), PAGES(256) },
	{ "2M", MEGA(3), MEGA(77), MEGA(1) },
	{ "256x2M", MEGA(131), MEGA(77), MEGA(256) },
	{ "1G", SZ_1G, SZ_1G * 3ULL, SZ_1G },
	{ "4K-hole", PAGES(259), PAGES(77), PAGES(1), 0, true },
	{ "4K-sparse", PAGES(3), PAGES(77), PAGES(1), SZ_2M },
	{ "mixed", SZ_1G - MEGA(1) - PAGES(1), SZ_1G - MEGA(1) - PAGES(1),
	  PAGES(1) + MEGA(1) + SZ_1G },
	{ }
};

int work_surround(struct ground *g, const struct work *w)
{
	u64 after = w->offset + w->size;
	int err;

	if (!w->crowded)
		return 0;
	err = iommu_map(g->domain, BASE, PHYS, w->offset, PROT, GFP_KERNEL);
	if (err)
		return err;
	return iommu_map(g->domain, BASE + after, PHYS + after, SZ_2M - after,
			 PROT, GFP_KERNEL);
}

void work_clear(struct ground *g, const struct work *w)
{
	u64 after = w->offset + w->size;

	if (!w->crowded)
		return;
	iommu_unmap(g->domain, BASE, w->offset);
	iommu_unmap(g->domain, BASE + after, SZ_2M - after);
}

bool work_is_mapped(struct ground *g, const struct work *w, unsigned int round)
{
	u64 iova = work_iova(w, round), phys = PHYS + w->phys;

	return iommu_iova_to_phys(g->domain, iova) == phys &&
	       iommu_iova_to_phys(g->domain, iova + w->size - 1) ==
		       phys + w->size - 1;
}

bool work_is_unmapped(struct ground *g, const struct work *w, unsigned int round)
{
	u64 iova = work_iova(w, round);

	return !iommu_iova_to_phys(g->domain, iova) &&
	       !iommu_iova_to_phys(g->domain, iova + w->size - 1);
}

void ticks_add(struct ticks *t, u64 ticks)
{
	if (!t->count || ticks < t->least)
		t->least = ticks;
	if (ticks > t->most)
		t->most = ticks;
	t->sum += ticks;
	t->count++;
}

u64 empty_ticks(void)
{
	struct ticks t = {};
	int i;

	for (i = 0; i < REPETITIONS; i++)
		ticks_add(&t, ticks_of(barrier()));
	return t.least;
}

void ticks_tell(struct seq_buf *out, const struct ticks *t)
{
	u64 cost = empty_ticks();
	u64 tenths = div_u64(t->sum * 10, t->count) - cost * 10;

	seq_buf_printf(out, " least=%llu most=%llu mean=%llu.%llu count=%u\n",
		       t->least - cost, t->most - cost, tenths / 10, tenths % 10,
		       t->count);
}
