// SPDX-License-Identifier: GPL-2.0
/* See helpers.h: functions that only the bench module needs. */
#include <linux/irqflags.h>
#include <linux/mm.h>
#include <linux/vmstat.h>
#include "helpers.h"

unsigned long vtd_helper_local_irq_save(void)
{
	unsigned long flags;

	local_irq_save(flags);
	return flags;
}

void vtd_helper_local_irq_restore(unsigned long flags)
{
	local_irq_restore(flags);
}

struct page *vtd_helper_virt_to_page(void *virt)
{
	return virt_to_page(virt);
}

/* Includes the per-CPU differences that are not in the global counter yet. */
long vtd_helper_iommu_pages(void)
{
	long pages = atomic_long_read(&vm_node_stat[NR_IOMMU_PAGES]);
	int cpu;

	for_each_online_cpu(cpu)
		pages += per_cpu_ptr(NODE_DATA(0)->per_cpu_nodestats,
				     cpu)->vm_node_stat_diff[NR_IOMMU_PAGES];
	return pages;
}
