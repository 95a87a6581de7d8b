// SPDX-License-Identifier: GPL-2.0
/*
 * Make a state and stay in it, so that user space can see how many pages it
 * takes: a domain, an attached device, a GiB mapped with pages of one size.
 */
#include <linux/mm.h>

#include "bench.h"

static struct ground held;
static bool is_open, is_attached;
static u64 mapped;	/* page size of what is mapped, or 0 */

static int open(bool attach)
{
	int err;

	hold_end();
	err = ground_open(&held, attach);
	is_open = !err;
	is_attached = attach;
	return err;
}

/* A GiB of pages of this size: the memory is aligned to them and to no more. */
static int map(u64 size)
{
	int err;

	err = iommu_map(held.domain, BASE, PHYS + (size == SZ_1G ? 0 : size), SZ_1G,
			PROT, GFP_KERNEL);
	if (!err)
		mapped = size;
	return err;
}

/* In one call, or each page by itself as a user would who mapped it so. */
static int unmap(u64 step)
{
	u64 at;

	for (at = 0; mapped && at < SZ_1G; at += step)
		if (iommu_unmap(held.domain, BASE + at, step) != step)
			return -EIO;
	mapped = 0;
	return 0;
}

void hold_end(void)
{
	if (!is_open)
		return;
	unmap(SZ_1G);
	ground_close(&held);
	is_open = false;
}

int hold(struct seq_buf *out, const char *what)
{
	if (!strcmp(what, "domain"))
		return open(false);
	if (!strcmp(what, "attached"))
		return open(true);
	if (!strcmp(what, "end")) {
		hold_end();
		return 0;
	}
	if (!is_open)
		return -ENOENT;
	if (!strcmp(what, "4K"))
		return map(SZ_4K);
	if (!strcmp(what, "2M"))
		return map(SZ_2M);
	if (!strcmp(what, "1G"))
		return map(SZ_1G);
	if (!strcmp(what, "nothing"))
		return unmap(SZ_1G);
	if (!strcmp(what, "nothing-by-page"))
		return unmap(mapped);
	return -EINVAL;
}

/* What drivers of IOMMUs hold, with what processors have not handed in yet. */
int count_pages(struct seq_buf *out, const char *state)
{
	long pages = atomic_long_read(&vm_node_stat[NR_IOMMU_PAGES]);
	int cpu;

	for_each_online_cpu(cpu)
		pages += per_cpu_ptr(NODE_DATA(0)->per_cpu_nodestats,
				     cpu)->vm_node_stat_diff[NR_IOMMU_PAGES];
	seq_buf_printf(out, "pages state=%s count=%ld\n", state, pages);
	return 0;
}
