/* SPDX-License-Identifier: GPL-2.0 */
/* The two tables that the oracle compares. */
#ifndef DOMAIN_ORACLE_H
#define DOMAIN_ORACLE_H

#include <linux/mm.h>
#include <linux/pci.h>

#define ORACLE_HAS_TABLES \
	(IS_ENABLED(CONFIG_IOMMU_PT_VTDSS) && IS_ENABLED(CONFIG_IOMMU_PT_X86_64))

#if ORACLE_HAS_TABLES
#include <linux/generic_pt/common.h>
#include <linux/generic_pt/iommu.h>

#define ADDRESS		GENMASK_ULL(51, 12)
#define LARGE		BIT_ULL(7)
#define ENTRIES		512

struct oracle_tables {
	struct pt_iommu *ours;
	union {
		struct pt_iommu iommu;
		struct pt_iommu_vtdss second;
		struct pt_iommu_x86_64 first;
	} theirs;
	phys_addr_t our_top, their_top;
	int levels;
	bool first_stage;
	u64 meaning;	/* the bits of an entry that are compared */
};

int oracle_find_ours(struct oracle_tables *t, struct pci_dev *pdev);
int oracle_make_theirs(struct oracle_tables *t, const struct iommu_domain *ours);

static inline u64 oracle_word_at(phys_addr_t table, unsigned int index)
{
	return READ_ONCE(((u64 *)phys_to_virt(table))[index]);
}
#endif

#endif
