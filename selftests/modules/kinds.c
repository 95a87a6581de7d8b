// SPDX-License-Identifier: GPL-2.0
/*
 * vtd_kinds - map and unmap memory of each kind for a device, with interrupts off, and see
 * whether the IOMMU driver takes a reference to it: a deferred flush cannot come before
 * interrupts are on again.
 *
 * debugfs vtd_kinds/run: write the name of a kind, "many", or "blocks"; read a line with the
 * number of references that the unmaps added, and with those that are left 200 ms later.
 * "file" and "huge" are a page of the files whose names the parameters have.
 */
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/page_frag_cache.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "devices.h"
#include "kinds.h"
#include "runfile.h"

struct pci_dev *vtd_kinds_pdev;
static char report[256];

static char *device = "";
module_param(device, charp, 0400);
MODULE_PARM_DESC(device, "The PCI device for which memory is mapped, such as 0000:00:05.0");
static char *file_name = "";
module_param_named(file, file_name, charp, 0400);
MODULE_PARM_DESC(file, "A file whose first page is in the page cache");
static char *huge_name = "";
module_param_named(huge, huge_name, charp, 0400);
MODULE_PARM_DESC(huge, "A file of hugetlbfs");

/* Memory of one kind: the page to be mapped, and what frees it. */
struct memory {
	struct page *page;
	void *virt;
	size_t len;
	unsigned int order;
	unsigned long at;	/* where a file is mapped in the process */
	struct page_frag_cache frags;
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

/* One folio of 8 pages, all of them; and one of 16, which are too many. */
static int new_large(struct memory *m)
{
	m->len = 8 * PAGE_SIZE;
	return new_block(m, __GFP_COMP, 3, 0);
}

static int new_long(struct memory *m)
{
	m->len = 16 * PAGE_SIZE;
	return new_block(m, __GFP_COMP, 4, 0);
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

/* A page with a type that no owner expects to be referenced. */
static int new_typed(struct memory *m)
{
	int err = new_page_0(m);

	if (!err)
		m->page->page_type = (unsigned int)PGTY_offline << 24;
	return err;
}

static void free_typed(struct memory *m)
{
	m->page->page_type = UINT_MAX;
	free_block(m);
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

/* The first page of a file, which the process that writes to this one maps. */
static int pin_file(struct memory *m, const char *name)
{
	struct file *file = filp_open(name, O_RDONLY, 0);
	unsigned long at;
	int err;

	if (IS_ERR(file))
		return PTR_ERR(file);
	at = vm_mmap(file, 0, PMD_SIZE, PROT_READ, MAP_SHARED, 0);
	fput(file);
	if (IS_ERR_VALUE(at))
		return at;
	m->at = at;
	err = pin_user_pages_fast(at, 1, 0, &m->page);
	if (err != 1) {
		vm_munmap(at, PMD_SIZE);
		return err < 0 ? err : -EFAULT;
	}
	return 0;
}

static void unpin_file(struct memory *m)
{
	unpin(m);
	vm_munmap(m->at, PMD_SIZE);
}

static int new_file(struct memory *m)
{
	return pin_file(m, file_name);
}

static int new_huge(struct memory *m)
{
	return pin_file(m, huge_name);
}

static int new_frag(struct memory *m)
{
	m->len = 256;
	m->virt = page_frag_alloc(&m->frags, m->len, GFP_KERNEL);
	if (!m->virt)
		return -ENOMEM;
	m->page = virt_to_page(m->virt);
	return 0;
}

static void free_frag(struct memory *m)
{
	page_frag_free(m->virt);
	page_frag_cache_drain(&m->frags);
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
	{ "typed", new_typed, free_typed },
	{ "user", pin, unpin },
	{ "page_frag", new_frag, free_frag },
	{ "file", new_file, unpin_file },
	{ "huge", new_huge, unpin_file },
};

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
		iova = dma_map_page(&vtd_kinds_pdev->dev, m.page, offset_in_page(m.virt), m.len,
				    DMA_BIDIRECTIONAL);
		err = dma_mapping_error(&vtd_kinds_pdev->dev, iova);
		if (!err)
			dma_unmap_page(&vtd_kinds_pdev->dev, iova, m.len, DMA_BIDIRECTIONAL);
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
	dma_addr_t iova = dma_map_resource(&vtd_kinds_pdev->dev,
					   pci_resource_start(vtd_kinds_pdev, 0), PAGE_SIZE,
					   DMA_BIDIRECTIONAL, 0);

	if (dma_mapping_error(&vtd_kinds_pdev->dev, iova))
		return -ENOMEM;
	dma_unmap_resource(&vtd_kinds_pdev->dev, iova, PAGE_SIZE, DMA_BIDIRECTIONAL, 0);
	seq_buf_puts(out, "kind=registers taken=0 left=0\n");
	return 0;
}

static int run(struct seq_buf *out, char *line)
{
	int count, i;

	if (!strcmp(line, "many"))
		return vtd_kinds_many(out, "many", MANY, 0);
	if (!strcmp(line, "blocks"))
		return vtd_kinds_many(out, "blocks", BLOCKS, BLOCK_ORDER);
	if (!strcmp(line, "registers"))
		return try_registers(out);
	if (sscanf(line, "scattered-%d", &count) == 1)
		return vtd_kinds_scattered(out, count);
	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(line, kinds[i].name))
			return try_kind(out, &kinds[i]);
	return -EINVAL;
}

DEFINE_RUNFILE(file, report, run);

static struct dentry *root;

static int __init vtd_kinds_init(void)
{
	vtd_kinds_pdev = vtd_device_get(device);
	if (!vtd_kinds_pdev)
		return -ENODEV;
	root = debugfs_create_dir("vtd_kinds", NULL);
	runfile_add(&file, root);
	return 0;
}

static void __exit vtd_kinds_exit(void)
{
	debugfs_remove_recursive(root);
	pci_dev_put(vtd_kinds_pdev);
}

module_init(vtd_kinds_init);
module_exit(vtd_kinds_exit);
MODULE_DESCRIPTION("See which memory is held after it was unmapped");
MODULE_LICENSE("GPL");
