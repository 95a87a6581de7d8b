// SPDX-License-Identifier: GPL-2.0
/*
 * Instructions that one iommu_map() and one iommu_unmap() take.
 *
 * Each work is mapped and unmapped again at the same place, with nothing else
 * in the domain but what the work asks for. Every mapping is looked up and every
 * unmap checked, outside of the times: a driver is not fast for doing nothing.
 */
#include "bench.h"

struct result {
	struct ticks map, unmap;
};

/* What the calls are given is ready before the time starts. */
static int repeat(struct ground *g, const struct work *w, unsigned int round,
		  struct result *r)
{
	u64 iova = work_iova(w, round), phys = PHYS + w->phys, size = w->size, ticks;
	struct iommu_domain *domain = g->domain;
	size_t unmapped;
	int err;

	ticks = ticks_of(err = iommu_map(domain, iova, phys, size, PROT, GFP_ATOMIC));
	if (err)
		return err;
	ticks_add(&r->map, ticks);
	if (!work_is_mapped(g, w, round))
		return -EIO;
	ticks = ticks_of(unmapped = iommu_unmap(domain, iova, size));
	if (unmapped != size || !work_is_unmapped(g, w, round))
		return -EIO;
	ticks_add(&r->unmap, ticks);
	return 0;
}

static int measure(struct ground *g, const struct work *w, struct result *r)
{
	struct result ignored = {};
	unsigned int round;
	int err;

	err = work_surround(g, w);
	for (round = 0; !err && round < WARM_UP + REPETITIONS; round++)
		err = repeat(g, w, round, round < WARM_UP ? &ignored : r);
	work_clear(g, w);
	return err;
}

/* A loop whose instructions can be counted by eye: 2 a round, 1 before. */
static u64 known(void)
{
	unsigned long n;

	return ticks_of(asm volatile("mov $1000, %0\n1:\tdec %0\n\tjnz 1b" : "=r" (n)));
}

static void tell(struct seq_buf *out, const char *op, const char *work,
		 bool attached, const struct ticks *t)
{
	seq_buf_printf(out, "instructions op=%s work=%s attached=%d", op, work,
		       attached);
	ticks_tell(out, t);
}

static int measure_works(struct seq_buf *out, bool attached)
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
			tell(out, "map", w->name, attached, &r.map);
			tell(out, "unmap", w->name, attached, &r.unmap);
		}
		ground_close(&g);
	}
	return err;
}

int measure_instructions(struct seq_buf *out, const char *unused)
{
	u64 cost = empty_ticks();

	seq_buf_printf(out, "clock empty=%llu known=%llu expected=2001\n", cost,
		       known() - cost);
	return measure_works(out, false) ?: measure_works(out, true);
}
