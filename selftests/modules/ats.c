// SPDX-License-Identifier: GPL-2.0
/*
 * vtd_ats - map a page for each of a few vtd-requesters, until it is unmapped on command. User
 * space drives the devices by their registers (Documentation/qemu-units.rst).
 *
 * debugfs vtd_ats/run:
 *   "map DEVICE"    map a new page for it
 *   "unmap DEVICE"  unmap it, and keep it
 *   "both ONE TWO"  unmap those of two devices, the second one while the first one waits
 *   "show DEVICE"   only read the line
 *   "free DEVICE"   free it
 *
 * Read one line: the address for the device and the physical one, what the page begins with, how
 * long the unmap took, and two registers of the device, read before any other code ran after the
 * unmap: how many messages it got from the unit, and how many translations it keeps.
 */
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/workqueue.h>

#include "devices.h"
#include "runfile.h"

#define SLOTS		4
#define FIRST_MS	20	/* less than the unit waits for an answer */
#define BAR_SIZE	4096
#define KEPT		0x78
#define MESSAGES	0xa0

struct slot {
	struct pci_dev *pdev;	/* NULL: the slot is free */
	void __iomem *mmio;
	struct page *page;
	dma_addr_t iova;
	bool mapped, begun;
	u64 us, messages, kept;
	struct work_struct work;
};

static struct slot slots[SLOTS];
static char report[256];

static struct slot *slot_of(const char *name)
{
	int i;

	for (i = 0; i < SLOTS; i++)
		if (slots[i].pdev && !strcmp(pci_name(slots[i].pdev), name))
			return &slots[i];
	return NULL;
}

static void unmap(struct slot *s)
{
	ktime_t begin = ktime_get();

	if (!s->mapped)
		return;
	dma_unmap_page(&s->pdev->dev, s->iova, PAGE_SIZE, DMA_BIDIRECTIONAL);
	s->messages = readq(s->mmio + MESSAGES);
	s->kept = readq(s->mmio + KEPT);
	s->us = ktime_us_delta(ktime_get(), begin);
	s->mapped = false;
}

static void unmap_elsewhere(struct work_struct *work)
{
	struct slot *s = container_of(work, struct slot, work);
	unsigned long flags;

	/* An unmap in an interrupt handler would wait until the first device is missed. */
	local_irq_save(flags);
	WRITE_ONCE(s->begun, true);
	/* A device that answers before the other one is asked is no suspect. */
	mdelay(FIRST_MS);
	unmap(s);
	local_irq_restore(flags);
}

/* Unmaps the page of @one, and while that waits, that of @two on another CPU. */
static void unmap_both(struct slot *one, struct slot *two)
{
	int other = cpumask_any_but(cpu_online_mask, raw_smp_processor_id());

	INIT_WORK(&two->work, unmap_elsewhere);
	WRITE_ONCE(two->begun, false);
	schedule_work_on(other < nr_cpu_ids ? other : 0, &two->work);
	while (!READ_ONCE(two->begun))
		cond_resched();
	unmap(one);
	flush_work(&two->work);
}

static void release(struct slot *s)
{
	unmap(s);
	if (s->page)
		__free_page(s->page);
	if (s->mmio)
		iounmap(s->mmio);
	pci_dev_put(s->pdev);
	memset(s, 0, sizeof(*s));
}

static int map(const char *name)
{
	struct slot *s;

	if (slot_of(name))
		return -EBUSY;
	for (s = slots; s < slots + SLOTS && s->pdev; s++)
		;
	if (s == slots + SLOTS)
		return -ENOSPC;
	s->pdev = vtd_device_get(name);
	if (!s->pdev)
		return -ENODEV;
	s->mmio = ioremap(pci_resource_start(s->pdev, 0), BAR_SIZE);
	s->page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	if (!s->mmio || !s->page)
		goto no_memory;
	s->iova = dma_map_page(&s->pdev->dev, s->page, 0, PAGE_SIZE, DMA_BIDIRECTIONAL);
	if (dma_mapping_error(&s->pdev->dev, s->iova))
		goto no_memory;
	s->mapped = true;
	return 0;

no_memory:
	release(s);
	return -ENOMEM;
}

static void describe(struct seq_buf *out, const struct slot *s)
{
	seq_buf_printf(out, "iova=%pad phys=0x%llx mapped=%d word=0x%llx ", &s->iova,
		       (u64)page_to_phys(s->page), s->mapped, *(u64 *)page_address(s->page));
	seq_buf_printf(out, "us=%llu messages=%llu kept=%llu\n", s->us, s->messages, s->kept);
}

static int run(struct seq_buf *out, char *line)
{
	char verb[8], name[16], other[16];
	struct slot *s, *two = NULL;
	int words, err;

	words = sscanf(line, "%7s %15s %15s", verb, name, other);
	if (words < 2)
		return -EINVAL;
	if (!strcmp(verb, "map")) {
		err = map(name);
		if (err)
			return err;
	}
	s = slot_of(name);
	if (!s)
		return -ENOENT;
	if (!strcmp(verb, "free")) {
		release(s);
		return 0;
	}
	if (!strcmp(verb, "both")) {
		two = words == 3 ? slot_of(other) : NULL;
		if (!two)
			return -ENOENT;
		unmap_both(s, two);
	}
	if (!two && strcmp(verb, "map") && strcmp(verb, "unmap") && strcmp(verb, "show"))
		return -EINVAL;
	if (!strcmp(verb, "unmap"))
		unmap(s);
	describe(out, s);
	return 0;
}

DEFINE_RUNFILE(file, report, run);

static struct dentry *root;

static int __init vtd_ats_init(void)
{
	root = debugfs_create_dir("vtd_ats", NULL);
	runfile_add(&file, root);
	return 0;
}

static void __exit vtd_ats_exit(void)
{
	int i;

	debugfs_remove_recursive(root);
	for (i = 0; i < SLOTS; i++)
		if (slots[i].pdev)
			release(&slots[i]);
}

module_init(vtd_ats_init);
module_exit(vtd_ats_exit);
MODULE_DESCRIPTION("Map pages for devices that keep translations");
MODULE_LICENSE("GPL");
