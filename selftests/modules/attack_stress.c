// SPDX-License-Identifier: GPL-2.0
/*
 * Threads allocate, map, unmap and free pages, and make the device write to addresses that were
 * unmapped: nothing may land in a page that was allocated again and is not mapped.
 */
#include <linux/delay.h>
#include <linux/gfp.h>
#include <linux/kthread.h>
#include <linux/mm.h>

#include "attack.h"

#define THREADS		4
/* Addresses that were unmapped, the latest ones. */
#define ADDRESSES	8

struct stress {
	struct vtd_attack *a;
	const struct scenario *s;
	struct mutex device;		/* it makes one transfer at a time */
	dma_addr_t unmapped[ADDRESSES];
	atomic_t next;
	atomic_t rounds;
	atomic_t landed;
	int err;
};

static int strike(struct stress *all, dma_addr_t iova)
{
	struct vtd_attack *a = all->a;
	int err;

	mutex_lock(&all->device);
	err = a->dev.ops->write(&a->dev, iova, page_to_phys(a->bench), ATTACK_LEN);
	mutex_unlock(&all->device);
	return err;
}

static int stress_once(struct stress *all)
{
	struct device *dev = &all->a->dev.pdev->dev;
	struct page *page = alloc_page(GFP_KERNEL);
	dma_addr_t iova;
	int err = 0, i;

	if (!page)
		return -ENOMEM;
	vtd_attack_fill(page);
	/* This thread's page, which is not mapped. */
	for (i = 0; !err && i < ADDRESSES; i++)
		err = strike(all, READ_ONCE(all->unmapped[i]));
	if (!vtd_attack_intact(page))
		atomic_inc(&all->landed);
	iova = dma_map_page(dev, page, 0, PAGE_SIZE, all->s->dir);
	if (dma_mapping_error(dev, iova)) {
		__free_page(page);
		return -ENOMEM;
	}
	err = err ?: strike(all, iova);
	dma_unmap_page(dev, iova, PAGE_SIZE, all->s->dir);
	__free_page(page);
	WRITE_ONCE(all->unmapped[(u32)atomic_inc_return(&all->next) % ADDRESSES], iova);
	atomic_inc(&all->rounds);
	return err;
}

static int stress_thread(void *data)
{
	struct stress *all = data;
	int err = 0;

	while (!kthread_should_stop()) {
		if (!err)
			err = stress_once(all);
		if (err) {
			WRITE_ONCE(all->err, err);
			msleep(20);
		}
		cond_resched();
	}
	return 0;
}

/* @s->times is how many seconds it takes. */
int vtd_attack_stress(struct vtd_attack *a, const struct scenario *s, struct result *r)
{
	struct stress all = { .a = a, .s = s };
	struct task_struct *threads[THREADS];
	int count, i;

	mutex_init(&all.device);
	/* Until there are others: the device may write there. */
	for (i = 0; i < ADDRESSES; i++)
		all.unmapped[i] = a->bench_iova;
	for (count = 0; count < THREADS; count++) {
		threads[count] = kthread_run(stress_thread, &all, "vtd_stress/%d", count);
		if (IS_ERR(threads[count])) {
			all.err = PTR_ERR(threads[count]);
			break;
		}
	}
	msleep(s->times * MSEC_PER_SEC);
	while (count > 0)
		kthread_stop(threads[--count]);
	r->hits = atomic_read(&all.rounds);
	r->landed = atomic_read(&all.landed);
	r->intact = !r->landed;
	return all.err;
}
