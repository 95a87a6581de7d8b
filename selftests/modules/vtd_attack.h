/* SPDX-License-Identifier: GPL-2.0 */
#ifndef VTD_ATTACK_H
#define VTD_ATTACK_H

#include <linux/mutex.h>
#include <linux/types.h>

struct dentry;
struct page;
struct pci_dev;
struct vtd_attack;

/*
 * What a device can be told to do. Each call returns once the device says that
 * it is done, or -ETIMEDOUT; a refused transfer is no error here.
 */
struct vtd_attack_ops {
	const char *name;
	/* Make sure that the device's own memory does not hold a secret. */
	int (*prime)(struct vtd_attack *a);
	/* Write what the device holds to @iova; @phys is where it should land. */
	int (*write)(struct vtd_attack *a, dma_addr_t iova, phys_addr_t phys,
		     u32 len);
	/* Read into the device's own memory; NULL where the device cannot. */
	int (*read)(struct vtd_attack *a, dma_addr_t iova, u32 len);
};

struct vtd_attack_result {
	dma_addr_t iova;
	bool warm;	/* the mapping was used by the device before */
	bool landed;	/* data moved */
	bool intact;	/* the victim page is as it was */
};

struct vtd_attack {
	struct pci_dev *pdev;
	const struct vtd_attack_ops *ops;
	void __iomem *mmio;
	struct dentry *dir;
	struct mutex lock;	/* one scenario at a time; protects @result */
	struct page *bench;	/* a page that the device may always use */
	dma_addr_t bench_iova;
	u32 said;		/* the device's own status of its last transfer */
	char result[256];
};

extern const struct vtd_attack_ops vtd_attack_edu;
extern const struct vtd_attack_ops vtd_attack_testdev;

#endif /* VTD_ATTACK_H */
