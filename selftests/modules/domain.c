// SPDX-License-Identifier: GPL-2.0
/*
 * vtd_domain - use unmanaged domains as VFIO does: claim a group, attach a domain, map,
 * let the device write, unmap, let it try again.
 *
 * User space writes the name of a scenario to debugfs vtd_domain/run and reads the same
 * file: "ok", or a line for each thing that was wrong.
 */
#include <linux/module.h>

#include "domain.h"
#include "runfile.h"

#define UNWRITTEN	0xffffffffu

static char *devices[BENCH_DEVICES];
static unsigned int chosen;
module_param_array(devices, charp, &chosen, 0444);
MODULE_PARM_DESC(devices, "the devices to use, such as 0000:00:05.0; default: the first that are found");

static struct vtd_dma_device *bound[BENCH_DEVICES];
static char report[2048];
static struct dentry *root;

int bench_write_lands(struct bench *b, int i, dma_addr_t iova)
{
	struct vtd_dma_device *d = b->dev[i];
	u32 *word = page_address(b->page);
	int err;

	WRITE_ONCE(*word, UNWRITTEN);
	err = d->ops->write(d, iova, page_to_phys(b->page), sizeof(*word));
	return err ?: READ_ONCE(*word) != UNWRITTEN;
}

int bench_claim(struct bench *b)
{
	int err;

	for (; b->claimed < b->devices; b->claimed++) {
		err = iommu_device_claim_dma_owner(&b->dev[b->claimed]->pdev->dev, b);
		if (err)
			return err;
	}
	return 0;
}

int bench_attach(struct bench *b)
{
	int err;

	for (; b->attached < b->claimed; b->attached++) {
		err = iommu_attach_group(b->domain, b->group[b->attached]);
		if (err)
			return err;
	}
	return 0;
}

void bench_detach(struct bench *b)
{
	while (b->attached)
		iommu_detach_group(b->domain, b->group[--b->attached]);
}

void bench_release(struct bench *b)
{
	while (b->claimed)
		iommu_device_release_dma_owner(&b->dev[--b->claimed]->pdev->dev);
}

static void bench_close(struct bench *b)
{
	int i;

	bench_detach(b);
	bench_release(b);
	if (!IS_ERR_OR_NULL(b->domain))
		iommu_domain_free(b->domain);
	for (i = 0; i < b->devices; i++)
		iommu_group_put(b->group[i]);
	if (b->block)
		__free_pages(b->block, BENCH_ORDER);
}

static int bench_open(struct bench *b, const struct domain_scenario *s)
{
	int err = 0;

	for (; b->devices < s->devices; b->devices++) {
		b->dev[b->devices] = bound[b->devices];
		if (!b->dev[b->devices])
			return -ENODEV;
		b->group[b->devices] = iommu_group_get(&b->dev[b->devices]->pdev->dev);
		if (!b->group[b->devices])
			return -ENXIO;
	}
	b->block = alloc_pages(GFP_KERNEL, BENCH_ORDER);
	if (!b->block)
		return -ENOMEM;
	/* Not the first page, so that its address differs from its block's. */
	b->page = b->block + 5;
	b->domain = iommu_paging_domain_alloc(&b->dev[0]->pdev->dev);
	if (IS_ERR(b->domain))
		return PTR_ERR(b->domain);
	if (s->own)
		err = bench_claim(b) ?: bench_attach(b);
	return err;
}

static void play(struct seq_buf *out, const struct domain_scenario *s)
{
	struct bench b = { .out = out };
	int err;

	err = bench_open(&b, s);
	expect(&b, !err, "the bench could not be set up: error %d", err);
	if (!err)
		s->play(&b);
	bench_close(&b);
	if (!seq_buf_used(out))
		seq_buf_printf(out, "ok%s\n", b.note);
}

static int run(struct seq_buf *out, char *name)
{
	static const struct domain_scenario *const tables[] = {
		domain_scenarios, domain_requests, domain_failures,
	};
	const struct domain_scenario *s;
	unsigned int i;
	int err = -EINVAL;

	for (i = 0; i < ARRAY_SIZE(tables); i++)
		for (s = tables[i]; s->name; s++)
			if (!strcmp(name, s->name)) {
				play(out, s);
				err = 0;
			}
	return err;
}

/* Its lock protects bound[], too. */
DEFINE_RUNFILE(file, report, run);

/* Returns where in bound[] the device goes; BENCH_DEVICES if it is not one of ours. */
static unsigned int place_of(struct pci_dev *pdev)
{
	unsigned int i, end = chosen ?: BENCH_DEVICES;

	for (i = 0; i < end; i++)
		if (chosen ? !strcmp(devices[i], pci_name(pdev)) : !bound[i])
			return i;
	return BENCH_DEVICES;
}

static int vtd_domain_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct vtd_dma_device *d;
	unsigned int i;
	int err;

	guard(mutex)(&file.lock);
	i = place_of(pdev);
	/* The driver core logs no error for this one. */
	if (i == BENCH_DEVICES)
		return -ENODEV;
	d = devm_kzalloc(&pdev->dev, sizeof(*d), GFP_KERNEL);
	if (!d)
		return -ENOMEM;
	err = vtd_dma_device_init(d, pdev, id);
	if (err)
		return err;
	pci_set_master(pdev);
	pci_set_drvdata(pdev, d);
	bound[i] = d;
	return 0;
}

static void vtd_domain_remove(struct pci_dev *pdev)
{
	int i;

	mutex_lock(&file.lock);
	for (i = 0; i < BENCH_DEVICES; i++)
		if (bound[i] == pci_get_drvdata(pdev))
			bound[i] = NULL;
	mutex_unlock(&file.lock);
	pci_clear_master(pdev);
}

static struct pci_driver vtd_domain_driver = {
	.name = "vtd_domain",
	.id_table = vtd_dma_ids,
	.probe = vtd_domain_probe,
	.remove = vtd_domain_remove,
	/* The groups are claimed, so they must not count as owned by a kernel driver. */
	.driver_managed_dma = true,
};

static int __init vtd_domain_init(void)
{
	int err;

	err = pci_register_driver(&vtd_domain_driver);
	if (err)
		return err;
	root = debugfs_create_dir("vtd_domain", NULL);
	runfile_add(&file, root);
	return 0;
}

static void __exit vtd_domain_exit(void)
{
	debugfs_remove_recursive(root);
	pci_unregister_driver(&vtd_domain_driver);
}

module_init(vtd_domain_init);
module_exit(vtd_domain_exit);
MODULE_DESCRIPTION("Use unmanaged domains as VFIO does");
MODULE_LICENSE("GPL");
