/* SPDX-License-Identifier: GPL-2.0 */
#ifndef VTD_DEVICES_H
#define VTD_DEVICES_H

#include <linux/pci.h>
#include <linux/types.h>

struct vtd_dma_device;

/*
 * What a device can do. Each call returns once the device says that it is done, or
 * -ETIMEDOUT; a refused transfer is not an error here.
 */
struct vtd_dma_ops {
	const char *name;
	/* Write what the device holds to @iova; @phys is where it should land. */
	int (*write)(struct vtd_dma_device *d, dma_addr_t iova,
		     phys_addr_t phys, u32 len);
	/* Read into the device's own memory; NULL if the device cannot. */
	int (*read)(struct vtd_dma_device *d, dma_addr_t iova, u32 len);
};

struct vtd_dma_device {
	struct pci_dev *pdev;
	const struct vtd_dma_ops *ops;
	void __iomem *mmio;
	u32 said;		/* the device's own status of its last transfer */
};

extern const struct pci_device_id vtd_dma_ids[];

/* Enable the device and map its registers; managed (devres). */
int vtd_dma_device_init(struct vtd_dma_device *d, struct pci_dev *pdev,
			const struct pci_device_id *id);

/* Return the device of this name with a reference; NULL if it is not there. */
static inline struct pci_dev *vtd_device_get(const char *name)
{
	struct device *dev = bus_find_device_by_name(&pci_bus_type, NULL, name);

	return dev ? to_pci_dev(dev) : NULL;
}

#endif /* VTD_DEVICES_H */
