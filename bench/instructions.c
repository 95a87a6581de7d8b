// SPDX-License-Identifier: GPL-2.0
/*
 * Instructions that one iommu_map() and one iommu_unmap() take.
 *
 * Each work is mapped and unmapped again at the same place, with nothing else
 * in the domain but what the work asks for. Every mapping is looked up and every
 * unmap checked, outside of the times: a driver is not fast for doing nothing.
 */
#include <linux/sizes.h>

#include "bench.h"

#define WARM_UP		8
#define REPETITIONS	64
#define PROT		(IOMMU_READ | IOMMU_WRITE)
/* The works begin here; what they need beside them lies in the same GiB. */
#define BASE		(SZ_1G * 16ULL)
/* Nothing does DMA, so the memory need not exist. */
#define PHYS		(SZ_1G * 2ULL)
#define PAGES(n)	((n) * (u64)SZ_4K)
#define MEGA(n)		((n) * (u64)SZ_2M)

static const struct work {
	const char *name;
	u64 offset;	/* of the IOVA from BASE; at other offsets in the table */
	u64 phys;	/* than the memory's, but for what larger pages need */
	u64 size;
	u64 stride;	/* from one repetition to the next */
	bool crowded;	/* every other entry of the leaf table is in use */
} works[] = {
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

struct result {
	struct ticks map, unmap;
};

/* What is around the work: all of its leaf table but the work's own place. */
static int surround(struct ground *g, const struct work *w)
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

static void clear_around(struct ground *g, const struct work *w)
{
	u64 after = w->offset + w->size;

	if (!w->crowded)
		return;
	iommu_unmap(g->domain, BASE, w->offset);
	iommu_unmap(g->domain, BASE + after, SZ_2M - after);
}

static bool is_mapped(struct ground *g, u64 iova, u64 phys, u64 size)
{
	return iommu_iova_to_phys(g->domain, iova) == phys &&
	       iommu_iova_to_phys(g->domain, iova + size - 1) == phys + size - 1;
}

static bool is_unmapped(struct ground *g, u64 iova, u64 size)
{
	return !iommu_iova_to_phys(g->domain, iova) &&
	       !iommu_iova_to_phys(g->domain, iova + size - 1);
}

/* One round trip; the times go to @r. GFP_ATOMIC: interrupts are off. */
static int repeat(struct ground *g, const struct work *w, unsigned int round,
		  struct result *r)
{
	u64 iova = BASE + w->offset + round * w->stride;
	u64 phys = PHYS + w->phys, ticks;
	size_t unmapped;
	int err;

	ticks = ticks_of(err = iommu_map(g->domain, iova, phys, w->size, PROT,
					 GFP_ATOMIC));
	if (err)
		return err;
	ticks_add(&r->map, ticks);
	if (!is_mapped(g, iova, phys, w->size))
		return -EIO;
	ticks = ticks_of(unmapped = iommu_unmap(g->domain, iova, w->size));
	if (unmapped != w->size || !is_unmapped(g, iova, w->size))
		return -EIO;
	ticks_add(&r->unmap, ticks);
	return 0;
}

static int measure(struct ground *g, const struct work *w, struct result *r)
{
	struct result ignored = {};
	unsigned int round;
	int err;

	err = surround(g, w);
	for (round = 0; !err && round < WARM_UP + REPETITIONS; round++)
		err = repeat(g, w, round, round < WARM_UP ? &ignored : r);
	clear_around(g, w);
	return err;
}

/* What an empty statement takes; the same in every repetition or no measure. */
static u64 empty(void)
{
	struct ticks t = {};
	int i;

	for (i = 0; i < REPETITIONS; i++)
		ticks_add(&t, ticks_of(barrier()));
	return t.least;
}

/* A loop whose instructions can be counted by eye: 2 a round, 1 before. */
static u64 known(void)
{
	unsigned long n;

	return ticks_of(asm volatile("mov $1000, %0\n1:\tdec %0\n\tjnz 1b" : "=r" (n)));
}

static void tell(struct seq_buf *out, const char *op, const char *work,
		 bool attached, const struct ticks *t, u64 cost)
{
	u64 tenths = div_u64(t->sum * 10, t->count) - cost * 10;

	seq_buf_printf(out, "instructions op=%s work=%s attached=%d count=%u ",
		       op, work, attached, t->count);
	seq_buf_printf(out, "least=%llu most=%llu mean=%llu.%llu\n",
		       t->least - cost, t->most - cost, tenths / 10, tenths % 10);
}

static int measure_works(struct seq_buf *out, bool attached, u64 cost)
{
	const struct work *w;
	struct ground g;
	int err = 0;

	for (w = works; !err && w->name; w++) {
		struct result r = {};

		/* A domain of its own, so that no work finds another's tables. */
		err = ground_open(&g, attached);
		if (err)
			break;
		err = measure(&g, w, &r);
		if (err) {
			pr_err("vtd_bench: %s failed with error %d\n", w->name, err);
		} else {
			tell(out, "map", w->name, attached, &r.map, cost);
			tell(out, "unmap", w->name, attached, &r.unmap, cost);
		}
		ground_close(&g);
	}
	return err;
}

int measure_instructions(struct seq_buf *out, const char *unused)
{
	u64 cost = empty();

	seq_buf_printf(out, "clock empty=%llu known=%llu expected=2001\n", cost,
		       known() - cost);
	return measure_works(out, false, cost) ?: measure_works(out, true, cost);
}

/* The same round trips, in windows; the first are not the profiler's. */
static int profile(struct ground *g, const struct work *w, bool map)
{
	unsigned int round;
	int err = surround(g, w);

	for (round = 0; !err && round < WARM_UP + REPETITIONS; round++) {
		u64 iova = BASE + w->offset + round * w->stride;
		u64 phys = PHYS + w->phys;
		size_t unmapped = 0;

		if (map && round >= WARM_UP)
			window_of(err = iommu_map(g->domain, iova, phys, w->size,
						  PROT, GFP_ATOMIC));
		else
			err = iommu_map(g->domain, iova, phys, w->size, PROT,
					GFP_ATOMIC);
		if (err)
			break;
		if (!map && round >= WARM_UP)
			window_of(unmapped = iommu_unmap(g->domain, iova, w->size));
		else
			unmapped = iommu_unmap(g->domain, iova, w->size);
		if (unmapped != w->size)
			err = -EIO;
	}
	clear_around(g, w);
	return err;
}

/* @row is "WORK map", "WORK unmap", and "attached" behind either if wanted. */
int profile_instructions(struct seq_buf *out, const char *row)
{
	char work[16], op[8], where[16] = "";
	const struct work *w;
	struct ground g;
	int err;

	if (sscanf(row, "%15s %7s %15s", work, op, where) < 2)
		return -EINVAL;
	for (w = works; w->name && strcmp(w->name, work); w++)
		;
	if (!w->name || (strcmp(op, "map") && strcmp(op, "unmap")))
		return -EINVAL;
	err = ground_open(&g, !strcmp(where, "attached"));
	if (err)
		return err;
	err = profile(&g, w, !strcmp(op, "map"));
	ground_close(&g);
	seq_buf_printf(out, "profile windows=%d\n", REPETITIONS);
	return err;
}
