// SPDX-License-Identifier: GPL-2.0
/*
 * The oracle's two tables: where ours is, found as the unit finds it, and one of generic_pt
 * of the same format.
 */
#include <linux/acpi.h>
#include <linux/io.h>

#include "domain.h"
#include "domain_oracle.h"

#if ORACLE_HAS_TABLES

MODULE_IMPORT_NS("GENERIC_PT_IOMMU");

/*
 * The bits of an entry that are compared. Second stage (VT-d 9.8): address, R, W, large
 * page, snoop. First stage (9.7): address, P, R/W, U/S, A, D, large page, XD.
 */
#define MEANING_SECOND	(ADDRESS | LARGE | BIT_ULL(11) | GENMASK_ULL(1, 0))
#define MEANING_FIRST	(ADDRESS | LARGE | BIT_ULL(63) | GENMASK_ULL(6, 5) | GENMASK_ULL(2, 0))
#define RTADDR		0x20
#define SCALABLE	BIT_ULL(10)	/* RTADDR.TTM */

static void free_gathered(struct iommu_domain *domain, struct iommu_iotlb_gather *gather)
{
	iommu_put_pages_list(&gather->freelist);
}

static const struct iommu_domain_ops second_ops = {
	IOMMU_PT_DOMAIN_OPS(vtdss),
	.iotlb_sync = free_gathered,
};

static const struct iommu_domain_ops first_ops = {
	IOMMU_PT_DOMAIN_OPS(x86_64),
	.iotlb_sync = free_gathered,
};

/*
 * The register page of the unit that a device is behind, according to firmware's table, in whose
 * order units are numbered; 0 if there is none.
 */
static u64 unit_of(struct device *dev)
{
	struct acpi_table_header *dmar;
	unsigned int number;
	u64 base = 0;
	u32 at;

	if (sscanf(dev_name(dev->iommu->iommu_dev->dev), "dmar%u", &number) != 1 ||
	    ACPI_FAILURE(acpi_get_table(ACPI_SIG_DMAR, 0, &dmar)))
		return 0;
	for (at = sizeof(struct acpi_table_dmar); !base && at + 4 < dmar->length; ) {
		struct acpi_dmar_header *h = (void *)dmar + at;

		if (h->type == ACPI_DMAR_TYPE_HARDWARE_UNIT && !number--)
			base = ((struct acpi_dmar_hardware_unit *)h)->address;
		if (!h->length)
			break;
		at += h->length;
	}
	acpi_put_table(dmar);
	return base;
}

/* Legacy mode: the context entry has 128 bits (VT-d 9.3). */
static int find_by_context(struct oracle_tables *t, u64 root, struct pci_dev *pdev)
{
	u64 context = oracle_word_at(root, pdev->bus->number * 2);

	if (!(context & 1))
		return -ENXIO;
	context &= PAGE_MASK;
	if (!(oracle_word_at(context, pdev->devfn * 2) & 1))
		return -ENXIO;
	t->our_top = oracle_word_at(context, pdev->devfn * 2) & PAGE_MASK;
	/* 1: 3 levels, 39 bits; 2: 4 levels, 48 bits */
	t->levels = (oracle_word_at(context, pdev->devfn * 2 + 1) & 7) + 2;
	return 0;
}

/*
 * Scalable mode: a root entry has two halves, a context entry 256 bits, and the entry of
 * PASID 0, the first of the first PASID table, 512 bits (VT-d 9.2, 9.4 to 9.6).
 */
static int find_by_pasid(struct oracle_tables *t, u64 root, struct pci_dev *pdev)
{
	u64 entry = oracle_word_at(root, pdev->bus->number * 2 + (pdev->devfn >> 7)), pasid;

	if (!(entry & 1))
		return -ENXIO;
	entry = oracle_word_at(entry & PAGE_MASK, (pdev->devfn & 0x7f) * 4);
	if (!(entry & 1))
		return -ENXIO;
	entry = oracle_word_at(entry & PAGE_MASK, 0);
	if (!(entry & 1))
		return -ENXIO;
	pasid = entry & PAGE_MASK;
	entry = oracle_word_at(pasid, 0);
	if (!(entry & 1))
		return -ENXIO;
	t->first_stage = (entry >> 6 & 7) == 1;	/* PGTT */
	if (t->first_stage) {
		t->our_top = oracle_word_at(pasid, 2) & PAGE_MASK;
		t->levels = (oracle_word_at(pasid, 2) >> 2 & 3) + 4;	/* FSPM */
	} else {
		t->our_top = entry & PAGE_MASK;
		t->levels = (entry >> 2 & 7) + 2;	/* AW */
	}
	return 0;
}

int oracle_find_ours(struct oracle_tables *t, struct pci_dev *pdev)
{
	u64 base = unit_of(&pdev->dev), root;
	void __iomem *regs;

	if (!base)
		return -ENODEV;
	regs = ioremap(base, SZ_4K);
	if (!regs)
		return -ENOMEM;
	root = readq(regs + RTADDR);
	iounmap(regs);
	if (root & SCALABLE)
		return find_by_pasid(t, root & PAGE_MASK, pdev);
	return find_by_context(t, root & PAGE_MASK, pdev);
}

static int make_second_stage(struct oracle_tables *t)
{
	struct pt_iommu_vtdss_cfg cfg = {
		.common.features = BIT(PT_FEAT_FLUSH_RANGE),
		.common.hw_max_vasz_lg2 = 12 + 9 * t->levels,
		.common.hw_max_oasz_lg2 = 52,
		.top_level = t->levels - 1,
	};
	struct pt_iommu_vtdss_hw_info info;
	int err;

	t->theirs.iommu.domain.ops = &second_ops;
	err = pt_iommu_vtdss_init(&t->theirs.second, &cfg, GFP_KERNEL);
	if (err)
		return err;
	pt_iommu_vtdss_hw_info(&t->theirs.second, &info);
	t->their_top = info.ssptptr;
	t->meaning = MEANING_SECOND;
	return 0;
}

static int make_first_stage(struct oracle_tables *t)
{
	struct pt_iommu_x86_64_cfg cfg = {
		.common.features = BIT(PT_FEAT_FLUSH_RANGE),
		/* The lower half of the canonical addresses. */
		.common.hw_max_vasz_lg2 = 12 + 9 * t->levels - 1,
		.common.hw_max_oasz_lg2 = 52,
		.top_level = t->levels - 1,
	};
	struct pt_iommu_x86_64_hw_info info;
	int err;

	t->theirs.iommu.domain.ops = &first_ops;
	err = pt_iommu_x86_64_init(&t->theirs.first, &cfg, GFP_KERNEL);
	if (err)
		return err;
	pt_iommu_x86_64_hw_info(&t->theirs.first, &info);
	t->their_top = info.gcr3_pt;
	t->meaning = MEANING_FIRST;
	return 0;
}

int oracle_make_theirs(struct oracle_tables *t, const struct iommu_domain *ours)
{
	int err;

	t->theirs.iommu.nid = NUMA_NO_NODE;
	t->theirs.iommu.domain.type = IOMMU_DOMAIN_UNMANAGED;
	err = t->first_stage ? make_first_stage(t) : make_second_stage(t);
	if (!err)
		t->theirs.iommu.domain.pgsize_bitmap = ours->pgsize_bitmap;
	return err;
}

#endif
