/* SPDX-License-Identifier: GPL-2.0 */
/* What the parts of vtd_kinds share. */
#ifndef VTD_KINDS_H
#define VTD_KINDS_H

#include <linux/mm.h>
#include <linux/page_ref.h>
#include <linux/pci.h>
#include <linux/seq_buf.h>

/* More than the driver has records for; and more than it holds of memory, in blocks of 2 MiB. */
#define MANY		600
#define BLOCKS		40
#define BLOCK_ORDER	9

extern struct pci_dev *vtd_kinds_pdev;

static inline int references(struct page *page)
{
	return page_ref_count(compound_head(page));
}

int vtd_kinds_many(struct seq_buf *out, const char *name, int wanted, unsigned int order);
int vtd_kinds_scattered(struct seq_buf *out, int count);

#endif
