// SPDX-License-Identifier: GPL-2.0
/*
 * Many threads map and unmap ranges of one domain concurrently. No two share a page, and
 * almost all share tables: every table is allocated, used and freed while other threads
 * work. Each thread must find what it mapped, and nothing else, where it mapped it. A
 * device concurrently uses a page that is between theirs.
 */
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/prandom.h>
#include <linux/sizes.h>

#include "domain.h"

static unsigned int threads_ms = 4000;
module_param(threads_ms, uint, 0644);
MODULE_PARM_DESC(threads_ms, "how long the threads map and unmap");

#define THREADS		6	/* an even number: they work in pairs */
#define PROT		(IOMMU_READ | IOMMU_WRITE)
/* KCSAN delays accesses for most of the time. */
#define LEAST_ROUNDS	(IS_ENABLED(CONFIG_KCSAN) ? 0 : 2)
#define BASE		(64ULL * SZ_1G)
/* The device's page, in a table that the threads use. */
#define OWN		(BASE + SZ_2M - SZ_4K)

struct worker {
	struct bench *b;
	int number;
	atomic_t *met;		/* how often a thread of the pair reached the meeting point */
	struct task_struct *task;
	struct rnd_state rnd;
	unsigned int rounds;
	int err;		/* the first thing that was wrong, or 0 */
	const char *what;
	u64 at;
};

static void fails(struct worker *w, const char *what, u64 at, int err)
{
	if (!w->what) {
		w->what = what;
		w->at = at;
		w->err = err;
	}
}

/* The address shows which thread's memory it is. */
static u64 phys_of(struct worker *w, u64 iova)
{
	return NOWHERE + ((u64)w->number << 34) + (iova - BASE);
}

static void check(struct worker *w, u64 iova, u64 len, bool mapped)
{
	u64 at, step = len > SZ_2M ? SZ_2M + SZ_4K : SZ_4K;

	for (at = iova; at < iova + len; at += step)
		if (iommu_iova_to_phys(w->b->domain, at) != (mapped ? phys_of(w, at) : 0))
			fails(w, mapped ? "a page that it mapped has another thread's address" :
			      "a page that it unmapped is still mapped", at, 0);
}

static void use(struct worker *w, u64 iova, u64 len)
{
	int err = iommu_map(w->b->domain, iova, phys_of(w, iova), len, PROT, GFP_KERNEL);

	if (err) {
		fails(w, "a map was refused", iova, err);
		return;
	}
	check(w, iova, len, true);
}

static void end(struct worker *w, u64 iova, u64 len)
{
	size_t gone = iommu_unmap(w->b->domain, iova, len);

	if (gone != len)
		fails(w, "an unmap was incomplete", iova, (int)gone);
	check(w, iova, len, false);
}

/* Every THREADS-th page of 2 MiB that the threads share: one table for all. */
static void round_of_pages(struct worker *w)
{
	u64 from = BASE + w->number * SZ_4K, at;

	for (at = from; at < OWN; at += THREADS * SZ_4K)
		use(w, at, SZ_4K);
	for (at = from; at < OWN; at += THREADS * SZ_4K)
		end(w, at, SZ_4K);
}

/* A separate 2 MiB next to the others': its table is added and removed, theirs stay. */
static void round_of_tables(struct worker *w)
{
	u64 iova = BASE + SZ_2M * (1 + w->number), at;

	if (prandom_u32_state(&w->rnd) & 1) {
		use(w, iova, SZ_2M);
	} else {
		for (at = 0; at < SZ_2M; at += 64 * SZ_4K)
			use(w, iova + at, 64 * SZ_4K);
	}
	end(w, iova, SZ_2M);
}

/* A separate 1 GiB in a shared directory: tables of two levels are added and removed. */
static void round_of_directories(struct worker *w)
{
	u64 iova = BASE + SZ_1G * (u64)(1 + w->number);

	use(w, iova + SZ_1G - SZ_2M - SZ_4K, SZ_2M + SZ_4K);
	end(w, iova + SZ_1G - SZ_2M - SZ_4K, SZ_2M + SZ_4K);
	use(w, iova, SZ_1G);
	end(w, iova, SZ_1G);
}

/*
 * Returns whether the other thread of the pair arrived, too; false if the end came first.
 * A thread that got false does not come again: it would count twice.
 */
static bool meet(struct worker *w)
{
	int wanted;

	if (kthread_should_stop())
		return false;
	wanted = round_up(atomic_inc_return(w->met), 2);

	while (atomic_read(w->met) < wanted) {
		if (kthread_should_stop())
			return false;
		cpu_relax();
		cond_resched();
	}
	return true;
}

/*
 * Two threads map the first pages concurrently where there is no table yet: one of them
 * allocates it, the other must find its own page in it. When both have unmapped, a large
 * page replaces the empty tables, so that there are none the next time.
 */
static void round_of_pairs(struct worker *w)
{
	/* See round_of_directories. */
	u64 large = CORE_COUNTS ||
		    !(w->b->domain->pgsize_bitmap & SZ_1G) ? SZ_2M : SZ_1G;
	u64 region = BASE + SZ_1G * (16ULL + w->number / 2);
	u64 iova = region + (w->number & 1) * SZ_4K;
	bool both;
	int i;

	for (i = 0; i < 16 && meet(w); i++) {
		use(w, iova, SZ_4K);
		both = meet(w);
		if (both)
			check(w, iova, SZ_4K, true);
		end(w, iova, SZ_4K);
		if (!both || !meet(w))
			return;
		if (w->number & 1)
			continue;
		use(w, region, large);
		end(w, region, large);
	}
}

static int work(void *data)
{
	struct worker *w = data;

	while (!kthread_should_stop() && !w->what) {
		switch (prandom_u32_state(&w->rnd) % 6) {
		case 0:
			round_of_pages(w);
			break;
		case 1:
			/* That option walks for each small page in a large one. */
			if (!CORE_COUNTS)
				round_of_directories(w);
			break;
		case 2 ... 3:
			round_of_pairs(w);
			break;
		default:
			round_of_tables(w);
		}
		w->rounds++;
		cond_resched();
	}
	/* A thread that gave up waits until its result is read. */
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

static int start(struct worker *w, struct bench *b, int number, atomic_t *met)
{
	w->met = &met[number / 2];
	w->b = b;
	w->number = number;
	prandom_seed_state(&w->rnd, number + 1);
	w->task = kthread_run(work, w, "vtd_domain/%d", number);
	return PTR_ERR_OR_ZERO(w->task);
}

static void finish(struct worker *w)
{
	if (IS_ERR_OR_NULL(w->task))
		return;
	kthread_stop(w->task);
	expect(w->b, !w->what, "thread %d, round %u: %s: %#llx (%d)", w->number, w->rounds,
	       w->what, w->at, w->err);
	expect(w->b, w->rounds > LEAST_ROUNDS, "thread %d made only %u rounds", w->number,
	       w->rounds);
}

static void expect_nothing_mapped(struct bench *b)
{
	u64 at;

	for (at = BASE; at < BASE + (THREADS + 1) * SZ_2M; at += SZ_4K)
		if (iommu_iova_to_phys(b->domain, at)) {
			expect(b, false, "%#llx is still mapped", at);
			return;
		}
}

void play_threads(struct bench *b)
{
	struct worker *workers = kcalloc(THREADS, sizeof(*workers), GFP_KERNEL);
	ktime_t until = ktime_add_ms(ktime_get(), threads_ms);
	atomic_t met[THREADS / 2] = { };
	unsigned int landed = 0, rounds = 0;
	int i, err = 0;

	if (!workers) {
		expect(b, false, "no memory for the threads");
		return;
	}
	err = iommu_map(b->domain, OWN, page_to_phys(b->page), SZ_4K, PROT, GFP_KERNEL);
	for (i = 0; i < THREADS && !err; i++)
		err = start(&workers[i], b, i, met);
	expect(b, !err, "the threads were not started: error %d", err);
	while (!err && ktime_before(ktime_get(), until)) {
		if (bench_write_lands(b, 0, OWN) != 1) {
			expect(b, false, "after %u writes a write did not land", landed);
			break;
		}
		landed++;
	}
	for (i = 0; i < THREADS; i++) {
		finish(&workers[i]);
		rounds += workers[i].rounds;
	}
	expect(b, iommu_unmap(b->domain, OWN, SZ_4K) == SZ_4K, "the page was not unmapped");
	expect(b, !bench_write_lands(b, 0, OWN), "a write landed after its page was unmapped");
	expect_nothing_mapped(b);
	snprintf(b->note, sizeof(b->note), ": %d threads, %u rounds, %u writes landed concurrently",
		 THREADS, rounds, landed);
	kfree(workers);
}
