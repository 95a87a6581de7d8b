// SPDX-License-Identifier: GPL-2.0
/*
 * An independent oracle: the same random requests go to a domain of vtd and to a table
 * of the kernel's own generic_pt, in the same format: vtdss, or x86_64 if it is a first
 * stage. After each request both must have returned the same and must translate every
 * requested address alike. After every few requests both tables are walked entry by
 * entry, ours from where the unit itself finds it: register, root entry, context entry
 * and, in scalable mode, PASID directory and PASID table.
 *
 * The requests go to the tables' own operations, below the core's checks.
 */
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/sizes.h>

#include "domain.h"
#include "domain_oracle.h"

static unsigned int oracle_seed;
module_param(oracle_seed, uint, 0644);
MODULE_PARM_DESC(oracle_seed, "seed of the oracle's requests; 0: a new one each time");

static unsigned int oracle_ms = 8000;
module_param(oracle_ms, uint, 0644);
MODULE_PARM_DESC(oracle_ms, "how long the oracle runs");

#if ORACLE_HAS_TABLES

#define KEPT		64	/* successful maps that are kept, to be unmapped */
#define WALK_EACH	50	/* requests */
#define ROOM		6	/* the most lines of complaints */

struct oracle {
	struct bench *b;
	struct oracle_tables t;
	struct rnd_state rnd;
	unsigned int seed, asked, refused, leaves, walks, complaints;
	struct { u64 iova, len; } kept[KEPT];
};

static __printf(2, 3) void differ(struct oracle *o, const char *fmt, ...)
{
	struct va_format what = { .fmt = fmt };
	va_list args;

	if (o->complaints++ >= ROOM)
		return;
	va_start(args, fmt);
	what.va = &args;
	seq_buf_printf(o->b->out, "seed %#x, request %u: %pV\n", o->seed, o->asked, &what);
	va_end(args);
}

/* --- comparing --- */

/* Whether a table, at @level above the leaves, holds no leaf. */
static bool is_empty(phys_addr_t table, int level)
{
	int i;

	for (i = 0; i < ENTRIES; i++) {
		u64 entry = oracle_word_at(table, i);

		if (entry && (!level || entry & LARGE || !is_empty(entry & ADDRESS, level - 1)))
			return false;
	}
	return true;
}

/* A table without leaves counts as absent: when it is freed is not specified. */
static void compare_tables(struct oracle *o, phys_addr_t ours, phys_addr_t theirs, int level,
			   u64 iova)
{
	int i;

	for (i = 0; i < ENTRIES; i++, iova += SZ_4K << (9 * level)) {
		u64 a = oracle_word_at(ours, i) & o->t.meaning;
		u64 b = oracle_word_at(theirs, i) & o->t.meaning;
		bool a_links = a && level && !(a & LARGE), b_links = b && level && !(b & LARGE);

		if (a_links && !b && is_empty(a & ADDRESS, level - 1))
			continue;
		if (b_links && !a && is_empty(b & ADDRESS, level - 1))
			continue;
		if (a_links && b_links) {
			if ((a ^ b) & ~ADDRESS)
				differ(o, "link of level %d at %#llx: %#llx, theirs %#llx",
				       level + 1, iova, a, b);
			compare_tables(o, a & ADDRESS, b & ADDRESS, level - 1, iova);
			continue;
		}
		o->leaves += !!a;
		if (a != b)
			differ(o, "entry of level %d at %#llx: %#llx, theirs %#llx",
			       level + 1, iova, a, b);
	}
}

static void compare_queries(struct oracle *o, u64 iova, u64 len)
{
	const u64 edges[] = { iova - 1, iova, iova + len - 1, iova + len };
	int i;

	for (i = 0; i < 12; i++) {
		u64 at = i < 4 ? edges[i] :
			 iova - SZ_2M + prandom_u32_state(&o->rnd) % (len + 2 * SZ_2M);
		phys_addr_t a = iommu_iova_to_phys(o->b->domain, at);
		phys_addr_t b = iommu_iova_to_phys(&o->t.theirs.iommu.domain, at);

		if (a != b)
			differ(o, "%#llx is at %#llx, theirs at %#llx", at, (u64)a, (u64)b);
	}
}

/* --- requests --- */

static size_t unmap(struct pt_iommu *pt, u64 iova, u64 len)
{
	struct iommu_iotlb_gather gather;
	size_t gone;

	iommu_iotlb_gather_init(&gather);
	gone = pt->ops->unmap_range(pt, iova, len, &gather);
	iommu_iotlb_sync(&pt->domain, &gather);
	return gone;
}

/* Like the core: unmap what a request mapped before it failed. */
static int map(struct pt_iommu *pt, u64 iova, u64 phys, u64 len, int prot)
{
	size_t mapped = 0;
	int err = pt->ops->map_range(pt, iova, phys, len, prot, GFP_KERNEL, &mapped);

	if (err && mapped)
		unmap(pt, iova, mapped);
	return err;
}

static u32 below(struct oracle *o, u32 end)
{
	return prandom_u32_state(&o->rnd) % end;
}

/*
 * Choose a range near a border of tables of some level, so that ranges meet, with
 * memory that is often, but not always, congruent to it. Never beyond 64 GiB: there is
 * no memory there, and only entries ever hold its addresses.
 */
static void choose(struct oracle *o, u64 *iova, u64 *phys, u64 *len)
{
	static const u64 borders[] = { SZ_2M, SZ_1G, 5ULL * SZ_1G, 1ULL << 38, 63ULL << 33 };
	u64 base = borders[below(o, ARRAY_SIZE(borders))];

	*phys = NOWHERE + (u64)below(o, 16) * SZ_1G;
	switch (below(o, 8)) {
	case 0 ... 3:
		*iova = base - SZ_2M + below(o, 2 * 512) * SZ_4K;
		*len = (1 + below(o, below(o, 4) ? 8 : 700)) * SZ_4K;
		*phys += *iova & (SZ_1G - 1);
		if (!below(o, 4))
			*phys += below(o, 512) * SZ_4K;
		break;
	case 4 ... 6:
		*iova = base - SZ_2M + below(o, 4) * SZ_2M;
		*len = (1 + below(o, 3)) * SZ_2M;
		*phys += (u64)below(o, 100) * SZ_2M;
		if (!below(o, 4)) {
			*len += SZ_4K;
			*phys += below(o, 2) * SZ_4K;
		}
		break;
	default:
		*iova = ALIGN(base, SZ_1G) - (below(o, 2) ? 0 : SZ_2M + SZ_4K);
		*len = SZ_1G + below(o, 3) * (SZ_2M + SZ_4K);
		*phys += *iova & (SZ_1G - 1);
	}
}

static void ask_to_map(struct oracle *o)
{
	static const int prots[] = { IOMMU_READ, IOMMU_WRITE, IOMMU_READ | IOMMU_WRITE };
	int prot = prots[below(o, 3)], a, b;
	u64 iova, phys, len;

	choose(o, &iova, &phys, &len);
	a = map(o->t.ours, iova, phys, len, prot);
	b = map(&o->t.theirs.iommu, iova, phys, len, prot);
	if (!a != !b || (a == -EADDRINUSE) != (b == -EADDRINUSE))
		differ(o, "map of %#llx, %#llx bytes at %#llx: error %d, theirs %d",
		       iova, len, phys, a, b);
	o->refused += !!a;
	if (!a) {
		int i = below(o, KEPT);

		o->kept[i].iova = iova;
		o->kept[i].len = len;
	}
	compare_queries(o, iova, len);
}

static void ask_to_unmap(struct oracle *o)
{
	u64 iova, phys, len;
	size_t a, b;

	choose(o, &iova, &phys, &len);
	if (below(o, 2)) {
		int i = below(o, KEPT);

		if (o->kept[i].len) {
			iova = o->kept[i].iova;
			len = o->kept[i].len;
			o->kept[i].len = 0;
		}
	}
	a = unmap(o->t.ours, iova, len);
	b = unmap(&o->t.theirs.iommu, iova, len);
	if (a != b)
		differ(o, "unmap of %#llx, %#llx bytes: %#zx unmapped, theirs %#zx",
		       iova, len, a, b);
	o->refused += !a;
	compare_queries(o, iova, len);
}

static void compare_everything(struct oracle *o)
{
	o->walks++;
	o->leaves = 0;
	compare_tables(o, o->t.our_top, o->t.their_top, o->t.levels - 1, 0);
}

static void interrogate(struct oracle *o)
{
	ktime_t end = ktime_add_ms(ktime_get(), oracle_ms);
	unsigned int most = 0;

	while (!o->complaints && ktime_before(ktime_get(), end)) {
		if (below(o, 5) < 3)
			ask_to_map(o);
		else
			ask_to_unmap(o);
		if (++o->asked % WALK_EACH == 0) {
			compare_everything(o);
			most = max(most, o->leaves);
		}
		cond_resched();
	}
	compare_everything(o);
	expect(o->b, o->asked >= 200 && most >= 20,
	       "only %u requests, at most %u leaves: nothing was compared", o->asked, most);
	snprintf(o->b->note, sizeof(o->b->note),
		 ": %s stage, seed %#x, %u requests (%u refused), %u walks, at most %u leaves",
		 o->t.first_stage ? "first" : "second", o->seed, o->asked, o->refused,
		 o->walks, most);
}

void play_oracle(struct bench *b)
{
	struct oracle *o = kzalloc(sizeof(*o), GFP_KERNEL);
	int err;

	if (!o) {
		expect(b, false, "no memory for the oracle");
		return;
	}
	o->b = b;
	o->t.ours = iommupt_from_domain(b->domain);
	o->seed = oracle_seed ?: get_random_u32();
	prandom_seed_state(&o->rnd, o->seed);
	err = o->t.ours ? oracle_find_ours(&o->t, b->dev[0]->pdev) : -EOPNOTSUPP;
	expect(b, !err, "the domain's table was not found: error %d", err);
	if (!err) {
		err = oracle_make_theirs(&o->t, b->domain);
		expect(b, !err, "generic_pt's table could not be set up: error %d", err);
	}
	if (!err) {
		interrogate(o);
		/* The rest is freed with the tables, which no device uses any more. */
		pt_iommu_deinit(&o->t.theirs.iommu);
	}
	kfree(o);
}

#else

void play_oracle(struct bench *b)
{
	seq_buf_puts(b->out, "skip: this kernel lacks tables (IOMMU_PT_VTDSS, IOMMU_PT_X86_64)\n");
}

#endif
