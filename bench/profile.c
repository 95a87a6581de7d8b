// SPDX-License-Identifier: GPL-2.0
/* The round trips of instructions.c in the profiler's windows instead of times. */
#include "bench.h"

static int profile(struct ground *g, const struct work *w, bool map)
{
	unsigned int round;
	int err = work_surround(g, w);

	for (round = 0; !err && round < WARM_UP + REPETITIONS; round++) {
		u64 iova = work_iova(w, round), phys = PHYS + w->phys, size = w->size;
		struct iommu_domain *domain = g->domain;
		size_t unmapped = 0;

		if (map && round >= WARM_UP)
			window_of(err = iommu_map(domain, iova, phys, size, PROT,
						  GFP_ATOMIC));
		else
			err = work_map(g, w, round);
		if (err)
			break;
		if (!map && round >= WARM_UP)
			window_of(unmapped = iommu_unmap(domain, iova, size));
		else
			unmapped = work_unmap(g, w, round);
		if (unmapped != size)
			err = -EIO;
	}
	work_clear(g, w);
	return err;
}

/* Attach and detach; attaching may sleep, so interrupts stay on. */
static int profile_attach(struct seq_buf *out)
{
	struct ground g;
	int round, err;

	err = ground_open(&g, true);
	for (round = 0; !err && round < REPETITIONS; round++) {
		iommu_detach_group(g.domain, g.group);
		window_mark(WINDOW_OPEN);
		err = iommu_attach_group(g.domain, g.group);
		window_mark(WINDOW_CLOSE);
	}
	if (!err)
		ground_close(&g);
	seq_buf_printf(out, "profile windows=%d\n", REPETITIONS);
	return err;
}

/*
 * @row is "WORK map" or "WORK unmap", with "attached" behind if wanted, or
 * "attach" for that of a device.
 */
int profile_instructions(struct seq_buf *out, const char *row)
{
	char work[16], op[8], where[16] = "";
	const struct work *w;
	struct ground g;
	int err;

	if (!strcmp(row, "attach"))
		return profile_attach(out);
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

/* A window that user space opens and closes, around whatever it does. */
int set_window(struct seq_buf *out, const char *what)
{
	if (!strcmp(what, "open"))
		window_mark(WINDOW_OPEN);
	else if (!strcmp(what, "close"))
		window_mark(WINDOW_CLOSE);
	else
		return -EINVAL;
	return 0;
}
