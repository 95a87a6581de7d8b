// SPDX-License-Identifier: GPL-2.0
/*
 * vtd_keep - unmap pages right before something happens to their device or to the machine,
 * and count the references that the IOMMU driver takes to them.
 *
 * debugfs vtd_keep/run:
 *   "EVENT COUNT"  map this many pages for iommu-testdev. They are unmapped, with interrupts
 *		    off, when it happens: "now", "unbind" (the device has lost its driver),
 *		    "remove" (it is being removed), "suspend" (the machine is, and
 *		    interrupts are off until it resumes)
 *   "reclaim COUNT" the same now, and softirqs are off on this CPU, so that no timer flushes,
 *		    until the references are put; another CPU allocates all memory
 *   "lose COUNT"   map and unmap a page of this many blocks of 2 MiB, and free them
 *   "left"	    how many references are left
 *   "free"	    free the pages
 *
 * Read a line with the number of references that the unmaps took, of those that are left, and of
 * microseconds.
 */
#include <linux/cpumask.h>
#include <linux/device/bus.h>
#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/syscore_ops.h>
#include <linux/workqueue.h>

#include "devices.h"
#include "runfile.h"

/* Fewer than the driver has records for. */
#define MOST		240
#define RECLAIM_US	(15 * USEC_PER_SEC)
#define BLOCK_ORDER	9

enum event { NONE, NOW, UNBIND, REMOVE, SUSPEND, RECLAIM };

static const char * const events[] = { "none", "now", "unbind", "remove", "suspend", "reclaim" };

static char *device = "";
module_param(device, charp, 0400);
MODULE_PARM_DESC(device, "The PCI device for which pages are mapped, such as 0000:00:05.0");

static struct pci_dev *pdev;
static struct page *pages[MOST];
static dma_addr_t iovas[MOST];
static int count;
static enum event event;
static int taken;
static u64 us;
static char report[256];

static int references(void)
{
	int sum = 0, i;

	for (i = 0; i < count; i++)
		sum += page_ref_count(pages[i]) - 1;
	return sum;
}

static void unmap_all(void)
{
	unsigned long flags;
	int i;

	local_irq_save(flags);
	for (i = 0; i < count; i++)
		dma_unmap_page(&pdev->dev, iovas[i], PAGE_SIZE, DMA_BIDIRECTIONAL);
	taken = references();
	local_irq_restore(flags);
	event = NONE;
}

static void free_all(void)
{
	if (event != NONE)
		unmap_all();
	while (count)
		__free_page(pages[--count]);
	taken = 0;
	us = 0;
}

static int map_all(int wanted)
{
	free_all();
	for (; count < wanted; count++) {
		struct page *page = alloc_page(GFP_KERNEL);

		if (!page)
			return -ENOMEM;
		iovas[count] = dma_map_page(&pdev->dev, page, 0, PAGE_SIZE, DMA_BIDIRECTIONAL);
		if (dma_mapping_error(&pdev->dev, iovas[count])) {
			__free_page(page);
			return -ENOMEM;
		}
		pages[count] = page;
		/* What is mapped is unmapped by free_all(). */
		event = NOW;
	}
	return 0;
}

/* Allocates until nothing is left, and so makes the kernel reclaim; kills nothing. */
static bool enough;

static void press(struct work_struct *work)
{
	struct page *page, *next;
	int order, refused;
	LIST_HEAD(all);

	for (order = BLOCK_ORDER; order >= 0; order -= BLOCK_ORDER) {
		gfp_t gfp = order ? GFP_NOWAIT : GFP_KERNEL | __GFP_NORETRY;

		for (refused = 0; refused < (order ? 1 : 4) && !READ_ONCE(enough);) {
			page = alloc_pages(gfp | __GFP_NOWARN, order);
			if (!page) {
				refused++;
				continue;
			}
			set_page_private(page, order);
			list_add(&page->lru, &all);
		}
	}
	list_for_each_entry_safe(page, next, &all, lru) {
		order = page_private(page);
		set_page_private(page, 0);
		__free_pages(page, order);
	}
}

static DECLARE_WORK(pressing, press);

static void reclaim(void)
{
	ktime_t begin;
	int other;

	enough = false;
	local_bh_disable();
	other = cpumask_any_but(cpu_online_mask, smp_processor_id());
	begin = ktime_get();
	unmap_all();
	if (other < nr_cpu_ids)
		schedule_work_on(other, &pressing);
	do {
		cpu_relax();
		us = ktime_us_delta(ktime_get(), begin);
	} while (references() && us < RECLAIM_US);
	/* What the timer would release is not yet released. */
	us = references() ? 0 : us;
	local_bh_enable();
	WRITE_ONCE(enough, true);
	flush_work(&pressing);
}

/* Returns how many blocks have a reference that is not ours after they were unmapped. */
static int lose(int blocks)
{
	int kept = 0;

	while (blocks--) {
		struct page *page = alloc_pages(GFP_KERNEL | __GFP_COMP, BLOCK_ORDER);
		dma_addr_t iova;

		if (!page)
			return -ENOMEM;
		iova = dma_map_page(&pdev->dev, page, 0, PAGE_SIZE,
				    DMA_BIDIRECTIONAL);
		if (dma_mapping_error(&pdev->dev, iova)) {
			__free_pages(page, BLOCK_ORDER);
			return -ENOMEM;
		}
		dma_unmap_page(&pdev->dev, iova, PAGE_SIZE, DMA_BIDIRECTIONAL);
		kept += page_ref_count(page) - 1;
		__free_pages(page, BLOCK_ORDER);
	}
	return kept;
}

static int run(struct seq_buf *out, char *line)
{
	char name[16];
	int number, err, i;

	if (!strcmp(line, "free")) {
		free_all();
	} else if (sscanf(line, "lose %d", &number) == 1) {
		err = lose(number);
		if (err < 0)
			return err;
		seq_buf_printf(out, "kept=%d of=%d\n", err, number);
		return 0;
	} else if (strcmp(line, "left")) {
		if (sscanf(line, "%15s %d", name, &number) != 2 || number < 1 || number > MOST)
			return -EINVAL;
		i = match_string(events, ARRAY_SIZE(events), name);
		if (i <= NONE)
			return -EINVAL;
		err = map_all(number);
		if (err)
			return err;
		event = i;
		if (event == NOW)
			unmap_all();
		else if (event == RECLAIM)
			reclaim();
	}
	seq_buf_printf(out, "taken=%d left=%d us=%llu event=%s\n", taken,
		       event == NONE ? references() : -1, us, events[event]);
	return 0;
}

/* Called before the IOMMU core releases the device, which frees its domain. */
static int notified(struct notifier_block *nb, unsigned long action, void *data)
{
	if (data == &pdev->dev &&
	    ((event == UNBIND && action == BUS_NOTIFY_UNBOUND_DRIVER) ||
	     (event == REMOVE && action == BUS_NOTIFY_REMOVED_DEVICE)))
		unmap_all();
	return NOTIFY_DONE;
}

static struct notifier_block notifier = {
	.notifier_call = notified,
	.priority = 1,
};

/* Called before the IOMMU driver suspends its units, which registered before. */
static int suspending(void *data)
{
	if (event == SUSPEND)
		unmap_all();
	return 0;
}

static const struct syscore_ops syscore_ops = {
	.suspend = suspending,
};

static struct syscore syscore = {
	.ops = &syscore_ops,
};

DEFINE_RUNFILE(file, report, run);

static struct dentry *root;

static int __init vtd_keep_init(void)
{
	int err;

	pdev = vtd_device_get(device);
	if (!pdev)
		return -ENODEV;
	err = bus_register_notifier(&pci_bus_type, &notifier);
	if (err) {
		pci_dev_put(pdev);
		return err;
	}
	register_syscore(&syscore);
	root = debugfs_create_dir("vtd_keep", NULL);
	runfile_add(&file, root);
	return 0;
}

static void __exit vtd_keep_exit(void)
{
	debugfs_remove_recursive(root);
	unregister_syscore(&syscore);
	bus_unregister_notifier(&pci_bus_type, &notifier);
	free_all();
	pci_dev_put(pdev);
}

module_init(vtd_keep_init);
module_exit(vtd_keep_exit);
MODULE_DESCRIPTION("Unmap pages right before something happens");
MODULE_LICENSE("GPL");
