// SPDX-License-Identifier: GPL-2.0
/*
 * vtd_attack - make a device access memory that was not mapped for it.
 *
 * Drives the devices of vtd_devices. User space writes the name of a scenario to
 * debugfs vtd_attack/<bdf>/run and reads one line of key=value words from the same file:
 * what was tried, at which address, and what happened to the victim page. "landed" is
 * judged from memory alone, never from what the device reports; the device's own status
 * is printed in addition.
 *
 * Four bytes are moved, because QEMU retries a refused transfer in units of four: so one
 * attack is one translation request and one fault.
 */
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/iommu.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/seq_file.h>

#include "attack.h"

/* What edu's buffer holds before a scenario: anything but the secret. */
#define PRIMER		0xa77ac0deu
/* Attempts of a storm: more than the driver records. */
#define STORM		3000

static const struct scenario scenarios[] = {
	{ "allowed-write", MAPPED, DMA_BIDIRECTIONAL, true, true },
	{ "allowed-read", MAPPED, DMA_TO_DEVICE, false, true },
	{ "read-only", MAPPED, DMA_TO_DEVICE, true, false },
	{ "write-only", MAPPED, DMA_FROM_DEVICE, false, false },
	{ "never-mapped", NEVER, DMA_NONE, true, false },
	{ "never-mapped-read", NEVER, DMA_NONE, false, false },
	{ "unmapped", STALE, DMA_BIDIRECTIONAL, true, false },
	{ "unmapped-read", STALE, DMA_BIDIRECTIONAL, false, false },
	{ "storm", NEVER, DMA_NONE, true, false, STORM },
	{ "window", WINDOW, DMA_BIDIRECTIONAL, true, false },
	{ "freed", FREED, DMA_BIDIRECTIONAL, true, false },
	{ "freed-slab", FREED_SLAB, DMA_BIDIRECTIONAL, true, false },
	{ "freed-pool", FREED_POOL, DMA_BIDIRECTIONAL, true, false },
	{ "stress", STRESS, DMA_BIDIRECTIONAL, true, false, 2 },
	{ "long-stress", STRESS, DMA_BIDIRECTIONAL, true, false, 60 },
};

void vtd_attack_fill(struct page *page)
{
	u32 *word = page_address(page);
	int i;

	for (i = 0; i < PAGE_SIZE / sizeof(*word); i++)
		WRITE_ONCE(word[i], SECRET);
}

bool vtd_attack_intact(struct page *page)
{
	u32 *word = page_address(page);
	int i;

	for (i = 0; i < PAGE_SIZE / sizeof(*word); i++)
		if (READ_ONCE(word[i]) != SECRET)
			return false;
	return true;
}

/* Make the device write @value to a page that it may write; -EIO if it did not. */
static int fetch(struct vtd_attack *a, struct page *page, dma_addr_t iova,
		 u32 *value)
{
	u32 *word = page_address(page);
	int err;

	WRITE_ONCE(*word, UNTOUCHED);
	err = a->dev.ops->write(&a->dev, iova, page_to_phys(page), ATTACK_LEN);
	if (err)
		return err;
	*value = READ_ONCE(*word);
	return *value == UNTOUCHED ? -EIO : 0;
}

/*
 * Make one transfer by the device and check whether data moved. A read is judged by
 * what the device holds afterwards, which it is made to write to its separate bench
 * page.
 */
int vtd_attack_strike(struct vtd_attack *a, const struct scenario *s,
		      struct page *victim, dma_addr_t iova, bool *landed)
{
	u32 got;
	int err;

	if (s->write) {
		err = a->dev.ops->write(&a->dev, iova, page_to_phys(victim), ATTACK_LEN);
		*landed = !vtd_attack_intact(victim);
		return err;
	}
	err = a->dev.ops->read(&a->dev, iova, ATTACK_LEN);
	if (err)
		return err;
	err = fetch(a, a->bench, a->bench_iova, &got);
	*landed = got == SECRET;
	return err;
}

/* Use the mapping once, so that the unit has it in its IOTLB. */
int vtd_attack_warm_up(struct vtd_attack *a, struct page *victim, dma_addr_t iova,
		       bool *warm)
{
	u32 got;
	int err;

	err = fetch(a, victim, iova, &got);
	*warm = !err;
	vtd_attack_fill(victim);
	return err;
}

/* Fill the device's own memory, if it has any, with something other than the secret. */
static int prime(struct vtd_attack *a)
{
	if (!a->dev.ops->read)
		return 0;
	WRITE_ONCE(*(u32 *)page_address(a->bench), PRIMER);
	return a->dev.ops->read(&a->dev, a->bench_iova, sizeof(u32));
}

/* Attack until the first refusal; @r gets how long the page could be reached. */
static int strike_on(struct vtd_attack *a, const struct scenario *s,
		     struct page *victim, struct result *r, ktime_t unmapped)
{
	bool landed;
	int err;

	do {
		err = vtd_attack_strike(a, s, victim, r->iova, &landed);
		if (err || !landed)
			return err;
		r->landed = true;
		r->hits++;
		r->last_us = ktime_us_delta(ktime_get(), unmapped);
		vtd_attack_fill(victim);
	} while (r->last_us < WINDOW_LIMIT_US);
	return -ETIMEDOUT;
}

static bool is_mapped(struct device *dev, dma_addr_t iova)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(dev);

	return domain && iommu_iova_to_phys(domain, iova);
}

static int play(struct vtd_attack *a, const struct scenario *s,
		struct page *victim, struct result *r)
{
	struct device *dev = &a->dev.pdev->dev;
	int err, left = s->times;

	if (s->how == NEVER) {
		r->iova = page_to_phys(victim);
		if (is_mapped(dev, r->iova))
			return -EBUSY;
		do {
			err = vtd_attack_strike(a, s, victim, r->iova, &r->landed);
			/* A unit records no second fault of a device while the first is unread. */
			if (left)
				usleep_range(100, 200);
		} while (!err && !r->landed && --left > 0);
		r->intact = vtd_attack_intact(victim);
		return err;
	}

	r->iova = dma_map_page(dev, victim, 0, PAGE_SIZE, s->dir);
	if (dma_mapping_error(dev, r->iova))
		return -ENOMEM;
	if (s->how == STALE || s->how == WINDOW) {
		ktime_t unmapped;

		err = vtd_attack_warm_up(a, victim, r->iova, &r->warm);
		dma_unmap_page(dev, r->iova, PAGE_SIZE, s->dir);
		unmapped = ktime_get();
		vtd_attack_fill(victim);
		if (!err && s->how == WINDOW)
			err = strike_on(a, s, victim, r, unmapped);
		else if (!err)
			err = vtd_attack_strike(a, s, victim, r->iova, &r->landed);
		r->intact = vtd_attack_intact(victim);
		return err;
	}
	err = vtd_attack_strike(a, s, victim, r->iova, &r->landed);
	r->intact = vtd_attack_intact(victim);
	dma_unmap_page(dev, r->iova, PAGE_SIZE, s->dir);
	return err;
}

static int run_scenario(struct vtd_attack *a, const struct scenario *s)
{
	struct result r = { };
	struct page *victim;
	int err;

	/* edu sleeps during a transfer. */
	if (s->how >= FREED ? !!a->dev.ops->read : !s->write && !a->dev.ops->read)
		return -EOPNOTSUPP;

	victim = alloc_page(GFP_KERNEL);
	if (!victim)
		return -ENOMEM;
	r.frame = page_to_phys(victim);
	vtd_attack_fill(victim);
	/* What the device holds before the attack must differ from the secret. */
	err = prime(a);
	if (!err && s->how == STRESS)
		err = vtd_attack_stress(a, s, &r);
	else if (!err && s->how >= FREED)
		err = vtd_attack_freed(a, s, &r);
	else if (!err)
		err = play(a, s, victim, &r);
	scnprintf(a->result, sizeof(a->result),
		  "scenario=%s device=%s kind=%s access=%s iova=%#llx page=%#llx warm=%d expect=%s landed=%d intact=%d device-says=%#x error=%d hits=%u last-us=%llu stale=%d refs=%d,%d reused=%d back-us=%llu\n",
		  s->name, pci_name(a->dev.pdev), a->dev.ops->name,
		  s->write ? "write" : "read", (u64)r.iova,
		  (u64)r.frame, r.warm,
		  s->allowed ? "landed" : "refused", r.landed, r.intact,
		  a->dev.said, err, r.hits, r.last_us, r.stale, r.refs[0],
		  r.refs[1], r.reused, r.back_us);
	__free_page(victim);
	return err;
}

static ssize_t run_write(struct file *file, const char __user *buf,
			 size_t count, loff_t *pos)
{
	struct vtd_attack *a = ((struct seq_file *)file->private_data)->private;
	char name[32];
	ssize_t len;
	int i, err = -EINVAL;

	len = simple_write_to_buffer(name, sizeof(name) - 1, pos, buf, count);
	if (len < 0)
		return len;
	name[len] = '\0';

	mutex_lock(&a->lock);
	a->result[0] = '\0';
	for (i = 0; i < ARRAY_SIZE(scenarios); i++)
		if (sysfs_streq(name, scenarios[i].name))
			err = run_scenario(a, &scenarios[i]);
	mutex_unlock(&a->lock);
	return err ?: len;
}

static int run_show(struct seq_file *m, void *unused)
{
	struct vtd_attack *a = m->private;

	mutex_lock(&a->lock);
	seq_puts(m, a->result);
	mutex_unlock(&a->lock);
	return 0;
}
DEFINE_SHOW_STORE_ATTRIBUTE(run);

static struct dentry *root;

static int vtd_attack_map_bench(struct vtd_attack *a)
{
	struct device *dev = &a->dev.pdev->dev;

	a->bench = alloc_page(GFP_KERNEL | __GFP_ZERO);
	if (!a->bench)
		return -ENOMEM;
	a->bench_iova = dma_map_page(dev, a->bench, 0, PAGE_SIZE,
				     DMA_BIDIRECTIONAL);
	if (dma_mapping_error(dev, a->bench_iova)) {
		__free_page(a->bench);
		return -ENOMEM;
	}
	return 0;
}

static int vtd_attack_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct vtd_attack *a;
	int err;

	a = devm_kzalloc(&pdev->dev, sizeof(*a), GFP_KERNEL);
	if (!a)
		return -ENOMEM;
	mutex_init(&a->lock);
	err = vtd_dma_device_init(&a->dev, pdev, id);
	if (err)
		return err;
	err = vtd_attack_map_bench(a);
	if (err)
		return err;
	pci_set_master(pdev);
	pci_set_drvdata(pdev, a);
	a->dir = debugfs_create_dir(pci_name(pdev), root);
	debugfs_create_file("run", 0600, a->dir, a, &run_fops);
	return 0;
}

static void vtd_attack_remove(struct pci_dev *pdev)
{
	struct vtd_attack *a = pci_get_drvdata(pdev);

	debugfs_remove_recursive(a->dir);
	pci_clear_master(pdev);
	dma_unmap_page(&pdev->dev, a->bench_iova, PAGE_SIZE, DMA_BIDIRECTIONAL);
	__free_page(a->bench);
}

static struct pci_driver vtd_attack_driver = {
	.name = "vtd_attack",
	.id_table = vtd_dma_ids,
	.probe = vtd_attack_probe,
	.remove = vtd_attack_remove,
};

static int __init vtd_attack_init(void)
{
	int err;

	root = debugfs_create_dir("vtd_attack", NULL);
	err = pci_register_driver(&vtd_attack_driver);
	if (err)
		debugfs_remove_recursive(root);
	return err;
}

static void __exit vtd_attack_exit(void)
{
	pci_unregister_driver(&vtd_attack_driver);
	debugfs_remove_recursive(root);
}

module_init(vtd_attack_init);
module_exit(vtd_attack_exit);
MODULE_DESCRIPTION("Make a device access memory that was not mapped for it");
MODULE_LICENSE("GPL");
