// SPDX-License-Identifier: GPL-2.0
/*
 * vtd_kinds - map and unmap memory of each kind for a device, with interrupts off, and see
 * whether the IOMMU driver takes a reference to it: a deferred flush cannot come before
 * interrupts are on again.
 *
 * debugfs vtd_kinds/run: write the name of a kind, or "many"; read a line with the number
 * of references that the unmap added, and with those that are left 200 ms later.
 */
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "runfile.h"

/* More than the driver has records for. */
#define MANY	600
/* Of a scattered list. */
#define MOST	64

static struct pci_dev *pdev;
static char report[256];

/* Memory of one kind: the page to be mapped, and what frees it. */
struct memory {
	struct page *page;
	void *virt;
	size_t len;
	unsigned int order;
};

struct kind {
	const char *name;
	int (*get)(struct memory *m);
	void (*put)(struct memory *m);
};

static int new_block(struct memory *m, gfp_t gfp, unsigned int order, unsigned int nth)
{
	struct page *first = alloc_pages(GFP_KERNEL | gfp, order);

	if (!first)
		return -ENOMEM;
	m->virt = page_address(first);
	m->page = first + nth;
	m->order = order;
	return 0;
}

static void free_block(struct memory *m)
{
	__free_pages(virt_to_page(m->virt), m->order);
}

static int new_page_0(struct memory *m)
{
	return new_block(m, 0, 0, 0);
}

static int new_head(struct memory *m)
{
	return new_block(m, 0, 2, 0);
}

static int new_tail(struct memory *m)
{
	return new_block(m, 0, 2, 1);
}

static int new_compound(struct memory *m)
{
	return new_block(m, __GFP_COMP, 2, 3);
}

/* One folio of 16 pages, all of them; and one of 64, which has too many. */
static int new_large(struct memory *m)
{
	m->len = 16 * PAGE_SIZE;
	return new_block(m, __GFP_COMP, 4, 0);
}

static int new_long(struct memory *m)
{
	m->len = 64 * PAGE_SIZE;
	return new_block(m, __GFP_COMP, 6, 0);
}

static int new_exact(struct memory *m)
{
	m->virt = alloc_pages_exact(3 * PAGE_SIZE, GFP_KERNEL);
	if (!m->virt)
		return -ENOMEM;
	m->page = virt_to_page(m->virt + PAGE_SIZE);
	return 0;
}

static void free_exact(struct memory *m)
{
	free_pages_exact(m->virt, 3 * PAGE_SIZE);
}

static int new_vmalloc(struct memory *m)
{
	m->virt = vmalloc(2 * PAGE_SIZE);
	if (!m->virt)
		return -ENOMEM;
	m->page = vmalloc_to_page(m->virt + PAGE_SIZE);
	return 0;
}

static void free_vmalloc(struct memory *m)
{
	vfree(m->virt);
}

static int new_kmalloc(struct memory *m, size_t len)
{
	m->len = len;
	m->virt = kmalloc(len, GFP_KERNEL);
	if (!m->virt)
		return -ENOMEM;
	m->page = virt_to_page(m->virt);
	return 0;
}

static void free_kmalloc(struct memory *m)
{
	kfree(m->virt);
}

static int new_slab(struct memory *m)
{
	return new_kmalloc(m, 512);
}

static int new_large_kmalloc(struct memory *m)
{
	return new_kmalloc(m, 4 * PAGE_SIZE);
}

static int new_reserved(struct memory *m)
{
	int err = new_page_0(m);

	if (!err)
		SetPageReserved(m->page);
	return err;
}

static void free_reserved(struct memory *m)
{
	ClearPageReserved(m->page);
	free_block(m);
}

/* A page of the process that writes to the file. */
static int pin(struct memory *m)
{
	unsigned long at = current->mm->start_stack & PAGE_MASK;

	return pin_user_pages_fast(at, 1, FOLL_WRITE, &m->page) == 1 ? 0 : -EFAULT;
}

static void unpin(struct memory *m)
{
	unpin_user_page(m->page);
}

static const struct kind kinds[] = {
	{ "page", new_page_0, free_block },
	{ "head", new_head, free_block },
	{ "tail", new_tail, free_block },
	{ "compound", new_compound, free_block },
	{ "large", new_large, free_block },
	{ "long", new_long, free_block },
	{ "exact", new_exact, free_exact },
	{ "vmalloc", new_vmalloc, free_vmalloc },
	{ "slab", new_slab, free_kmalloc },
	{ "large-kmalloc", new_large_kmalloc, free_kmalloc },
	{ "reserved", new_reserved, free_reserved },
	{ "user", pin, unpin },
};

static int references(struct page *page)
{
	return page_ref_count(compound_head(page));
}

/* Map and unmap it twice: the second unmap takes no other reference. */
static int try_kind(struct seq_buf *out, const struct kind *kind)
{
	struct memory m = { .len = PAGE_SIZE };
	int before, after, err, round;
	unsigned long flags;
	dma_addr_t iova;

	err = kind->get(&m);
	if (err)
		return err;
	before = references(m.page);
	local_irq_save(flags);
	for (round = 0; !err && round < 2; round++) {
		iova = dma_map_page(&pdev->dev, m.page, offset_in_page(m.virt), m.len,
				    DMA_BIDIRECTIONAL);
		err = dma_mapping_error(&pdev->dev, iova);
		if (!err)
			dma_unmap_page(&pdev->dev, iova, m.len, DMA_BIDIRECTIONAL);
	}
	after = references(m.page);
	local_irq_restore(flags);
	msleep(200);
	if (!err)
		seq_buf_printf(out, "kind=%s taken=%d left=%d\n", kind->name,
			       after - before, references(m.page) - before);
	kind->put(&m);
	return err;
}

/* Registers of the device, which have no struct page that could be held. */
static int try_registers(struct seq_buf *out)
{
	dma_addr_t iova = dma_map_resource(&pdev->dev, pci_resource_start(pdev, 0), PAGE_SIZE,
					   DMA_BIDIRECTIONAL, 0);

	if (dma_mapping_error(&pdev->dev, iova))
		return -ENOMEM;
	dma_unmap_resource(&pdev->dev, iova, PAGE_SIZE, DMA_BIDIRECTIONAL, 0);
	seq_buf_puts(out, "kind=registers taken=0 left=0\n");
	return 0;
}

struct many {
	struct page *pages[MANY];
	dma_addr_t iovas[MANY];
};

static int held_of(struct many *many, int count)
{
	int held = 0, i;

	for (i = 0; i < count; i++)
		held += page_ref_count(many->pages[i]) - 1;
	return held;
}

/* Many different pages, one unmap each. */
static int try_many(struct seq_buf *out)
{
	struct many *many = kvzalloc(sizeof(*many), GFP_KERNEL);
	int taken, count, err = -ENOMEM, i;
	unsigned long flags;

	if (!many)
		return -ENOMEM;
	for (count = 0; count < MANY; count++) {
		many->pages[count] = alloc_page(GFP_KERNEL);
		if (!many->pages[count])
			goto out;
		many->iovas[count] = dma_map_page(&pdev->dev, many->pages[count], 0, PAGE_SIZE,
						  DMA_BIDIRECTIONAL);
		if (dma_mapping_error(&pdev->dev, many->iovas[count])) {
			__free_page(many->pages[count]);
			goto out;
		}
	}
	err = 0;
out:
	local_irq_save(flags);
	for (i = 0; i < count; i++)
		dma_unmap_page(&pdev->dev, many->iovas[i], PAGE_SIZE, DMA_BIDIRECTIONAL);
	taken = held_of(many, count);
	local_irq_restore(flags);
	msleep(200);
	if (!err)
		seq_buf_printf(out, "kind=many taken=%d left=%d\n", taken, held_of(many, count));
	for (i = 0; i < count; i++)
		__free_page(many->pages[i]);
	kvfree(many);
	return err;
}

/* A scattered list of separate pages, one unmap for all. */
static int try_scattered(struct seq_buf *out, int count)
{
	static struct scatterlist list[MOST];
	int before = 0, after = 0, left = 0, got, i, err = -ENOMEM;
	unsigned long flags;

	sg_init_table(list, count);
	for (got = 0; got < count; got++) {
		/* Two pages each, of which one is mapped: no two are neighbours. */
		struct page *page = alloc_pages(GFP_KERNEL | __GFP_COMP, 1);

		if (!page)
			goto out;
		sg_set_page(&list[got], page, PAGE_SIZE, 0);
	}
	for (i = 0; i < count; i++)
		before += references(sg_page(&list[i]));
	if (!dma_map_sg(&pdev->dev, list, count, DMA_BIDIRECTIONAL))
		goto out;
	local_irq_save(flags);
	dma_unmap_sg(&pdev->dev, list, count, DMA_BIDIRECTIONAL);
	for (i = 0; i < count; i++)
		after += references(sg_page(&list[i]));
	local_irq_restore(flags);
	msleep(200);
	for (i = 0; i < count; i++)
		left += references(sg_page(&list[i]));
	seq_buf_printf(out, "kind=scattered-%d taken=%d left=%d\n", count, after - before,
		       left - before);
	err = 0;
out:
	for (i = 0; i < got; i++)
		__free_pages(sg_page(&list[i]), 1);
	return err;
}

static int run(struct seq_buf *out, char *line)
{
	int count, i;

	if (!strcmp(line, "many"))
		return try_many(out);
	if (!strcmp(line, "registers"))
		return try_registers(out);
	if (sscanf(line, "scattered-%d", &count) == 1)
		return count > 0 && count <= MOST ? try_scattered(out, count) : -EINVAL;
	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(line, kinds[i].name))
			return try_kind(out, &kinds[i]);
	return -EINVAL;
}

static struct runfile file = {
	.lock = __MUTEX_INITIALIZER(file.lock),
	.report = report,
	.size = sizeof(report),
	.run = run,
};

static struct dentry *root;

static int __init vtd_kinds_init(void)
{
	pdev = pci_get_device(0x1b36, 0x0005, NULL);
	if (!pdev)
		return -ENODEV;
	root = debugfs_create_dir("vtd_kinds", NULL);
	runfile_add(&file, root);
	return 0;
}

static void __exit vtd_kinds_exit(void)
{
	debugfs_remove_recursive(root);
	pci_dev_put(pdev);
}

module_init(vtd_kinds_init);
module_exit(vtd_kinds_exit);
MODULE_DESCRIPTION("See which memory is held after it was unmapped");
MODULE_LICENSE("GPL");
