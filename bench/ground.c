// SPDX-License-Identifier: GPL-2.0
/*
 * The device and the domain that are measured on. The device is one that does
 * nothing unless told to (QEMU's edu), driven by nobody.
 */
#include "bench.h"

#define EDU_VENDOR	0x1234
#define EDU_DEVICE	0x11e8

static int ground_attach(struct ground *g)
{
	int err;

	err = iommu_device_claim_dma_owner(&g->pdev->dev, g);
	if (err)
		return err;
	g->group = iommu_group_get(&g->pdev->dev);
	err = iommu_attach_group(g->domain, g->group);
	if (err) {
		iommu_group_put(g->group);
		g->group = NULL;
		iommu_device_release_dma_owner(&g->pdev->dev);
	}
	return err;
}

int ground_open(struct ground *g, bool attach)
{
	int err;

	g->group = NULL;
	g->pdev = pci_get_device(EDU_VENDOR, EDU_DEVICE, NULL);
	if (!g->pdev)
		return -ENODEV;
	g->domain = iommu_paging_domain_alloc(&g->pdev->dev);
	if (IS_ERR(g->domain)) {
		err = PTR_ERR(g->domain);
		pci_dev_put(g->pdev);
		return err;
	}
	err = attach ? ground_attach(g) : 0;
	if (err) {
		iommu_domain_free(g->domain);
		pci_dev_put(g->pdev);
	}
	return err;
}

void ground_close(struct ground *g)
{
	if (g->group) {
		iommu_detach_group(g->domain, g->group);
		iommu_group_put(g->group);
		iommu_device_release_dma_owner(&g->pdev->dev);
	}
	iommu_domain_free(g->domain);
	pci_dev_put(g->pdev);
}
