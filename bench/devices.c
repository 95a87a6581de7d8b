// SPDX-License-Identifier: GPL-2.0
/*
 * What attaching a device takes, and what a 4K map and unmap take, as devices
 * are added to one domain: every iommu-testdev of the machine, in bus order.
 * Functions that cannot be isolated from each other come as one group.
 */
#include <linux/slab.h>

#include "bench.h"

#define VENDOR		0x1b36
#define DEVICE		0x0005
#define GROUPS		256
#define MANY		256

struct crowd {
	struct iommu_domain *domain;
	struct iommu_group *groups[GROUPS];
	struct device *devices[GROUPS];
	int count;		/* groups that are attached */
	int functions;		/* devices in them */
};

static int count_one(struct device *dev, void *count)
{
	++*(int *)count;
	return 0;
}

static bool known_group(struct crowd *c, struct iommu_group *group)
{
	int i;

	for (i = 0; i < c->count; i++)
		if (c->groups[i] == group)
			return true;
	return false;
}

/* Claim and attach one more group; the time of the attach alone. */
static int join(struct crowd *c, struct device *dev, struct iommu_group *group,
		u64 *ticks)
{
	u64 start;
	int err;

	err = iommu_device_claim_dma_owner(dev, c);
	if (err)
		return err;
	/* Attaching may sleep, so interrupts stay on; the least time counts. */
	start = rdtsc();
	err = iommu_attach_group(c->domain, group);
	*ticks = rdtsc() - start;
	if (err) {
		iommu_device_release_dma_owner(dev);
		return err;
	}
	c->groups[c->count] = iommu_group_ref_get(group);
	c->devices[c->count++] = get_device(dev);
	iommu_group_for_each_dev(group, &c->functions, count_one);
	return 0;
}

static int operate(struct seq_buf *out, struct crowd *c)
{
	struct ticks map = {}, unmap = {};
	size_t unmapped;
	u64 ticks;
	int i, err;

	for (i = 0; i < WARM_UP + REPETITIONS; i++) {
		ticks = ticks_of(err = iommu_map(c->domain, BASE, PHYS, SZ_4K, PROT,
						 GFP_ATOMIC));
		if (err)
			return err;
		if (i >= WARM_UP)
			ticks_add(&map, ticks);
		ticks = ticks_of(unmapped = iommu_unmap(c->domain, BASE, SZ_4K));
		if (unmapped != SZ_4K)
			return -EIO;
		if (i >= WARM_UP)
			ticks_add(&unmap, ticks);
	}
	seq_buf_printf(out, "devices op=map functions=%d", c->functions);
	ticks_tell(out, &map);
	seq_buf_printf(out, "devices op=unmap functions=%d", c->functions);
	ticks_tell(out, &unmap);
	return 0;
}

static void leave_all(struct crowd *c)
{
	while (c->count) {
		c->count--;
		iommu_detach_group(c->domain, c->groups[c->count]);
		iommu_device_release_dma_owner(c->devices[c->count]);
		iommu_group_put(c->groups[c->count]);
		put_device(c->devices[c->count]);
	}
}

static int gather(struct seq_buf *out, struct crowd *c)
{
	struct pci_dev *pdev = NULL;
	int told = 0, err = 0;
	u64 ticks;

	while (!err && c->count < GROUPS &&
	       (pdev = pci_get_device(VENDOR, DEVICE, pdev))) {
		struct iommu_group *group = iommu_group_get(&pdev->dev);
		int before = c->functions;

		if (group && !known_group(c, group)) {
			err = join(c, &pdev->dev, group, &ticks);
			/* At the first, at each doubling of the devices, and with many. */
			if (!err && (c->functions >= 2 * told ||
				     (told < MANY && c->functions >= MANY))) {
				told = c->functions;
				seq_buf_printf(out, "attach functions=%d joined=%d ticks=%llu\n",
					       told, told - before, ticks);
				err = operate(out, c);
			}
		}
		iommu_group_put(group);
	}
	pci_dev_put(err || c->count == GROUPS ? pdev : NULL);
	return err;
}

int measure_devices(struct seq_buf *out, const char *unused)
{
	struct pci_dev *first = pci_get_device(VENDOR, DEVICE, NULL);
	struct crowd *c;
	int err;

	if (!first)
		return -ENODEV;
	c = kzalloc_obj(*c);
	if (!c) {
		pci_dev_put(first);
		return -ENOMEM;
	}
	c->domain = iommu_paging_domain_alloc(&first->dev);
	err = PTR_ERR_OR_ZERO(c->domain);
	if (!err) {
		err = gather(out, c);
		leave_all(c);
		iommu_domain_free(c->domain);
	}
	kfree(c);
	pci_dev_put(first);
	return err;
}
