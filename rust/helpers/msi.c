// SPDX-License-Identifier: GPL-2.0
/*
 * See helpers.h. The structures of MSI domains are opaque to Rust.
 */
#include <linux/irq.h>
#include <linux/irqdesc.h>
#include <linux/irqdomain.h>
#include <linux/interrupt.h>
#include <linux/msi.h>
#include <linux/pci.h>
#include <linux/irqchip/irq-msi-lib.h>
#include <linux/rcupdate.h>
#include <asm/apic.h>
#include <asm/hw_irq.h>
#include <asm/irqdomain.h>
#include <asm/msi.h>
#include "helpers.h"

/* msi_parent_init_dev_msi_info() does the same, but is not exported. */
static bool init_dev_msi_info(struct device *dev, struct irq_domain *domain,
			      struct irq_domain *real_parent,
			      struct msi_domain_info *info)
{
	struct irq_domain *parent = domain->parent;

	return parent->msi_parent_ops->init_dev_msi_info(dev, parent, real_parent, info);
}

static const struct msi_parent_ops parent_ops = {
	.supported_flags	= X86_VECTOR_MSI_FLAGS_SUPPORTED | MSI_FLAG_MULTI_PCI_MSI,
	/* The vector domain takes no other token but AMD's. */
	.bus_select_token	= DOMAIN_BUS_DMAR,
	.bus_select_mask	= MATCH_PCI_MSI,
	/* The prefix of the kernel's own remapping drivers. */
	.prefix			= "IR-",
	.init_dev_msi_info	= init_dev_msi_info,
};

/* As msi_create_parent_irq_domain(), which would allocate a map of all hardware numbers. */
struct irq_domain *vtd_helper_msi_create_parent(struct irq_domain_info *info, bool isolated)
{
	struct irq_domain *domain;

	info->domain_flags |= IRQ_DOMAIN_FLAG_MSI_PARENT;
	if (isolated)
		info->domain_flags |= IRQ_DOMAIN_FLAG_ISOLATED_MSI;
	info->bus_token = parent_ops.bus_select_token;
	domain = irq_domain_instantiate(info);
	if (!IS_ERR(domain))
		domain->msi_parent_ops = &parent_ops;
	return domain;
}

/* Returns NULL if the request is not for MSI or MSI-X of a PCI device. */
struct pci_dev *vtd_helper_msi_requester(const struct irq_alloc_info *info)
{
	if (info->type != X86_IRQ_ALLOC_TYPE_PCI_MSI && info->type != X86_IRQ_ALLOC_TYPE_PCI_MSIX)
		return NULL;
	return info->desc ? msi_desc_to_pci_dev(info->desc) : NULL;
}

void vtd_helper_msi_msg(struct msi_msg *msg, u32 address_lo, u32 data)
{
	*msg = (struct msi_msg) { .address_lo = address_lo, .data = data };
}

bool vtd_helper_apic_dest_mode_logical(void)
{
	return apic->dest_mode_logical;
}

bool vtd_helper_x2apic_enabled(void)
{
	return x2apic_mode;
}

/*
 * The PCI core gives a bus that is added the domain of the bridge above, and a device that is added
 * that of its bus: pci_set_bus_msi_domain(), pcibios_device_add().
 */
static void leave_inherited(struct device *dev)
{
	struct irq_domain *found = dev_get_msi_domain(dev);

	if (found && found->msi_parent_ops == &parent_ops && !dev->msi.data)
		dev_set_msi_domain(dev, x86_vector_domain);
}

/* Here and below no driver is bound or being bound, so the device's lock is not needed. */
void vtd_helper_leave_inherited_domain(struct pci_dev *pdev)
{
	leave_inherited(&pdev->dev);
}

static int change_domain(struct device *dev, struct irq_domain *from, struct irq_domain *to)
{
	if (dev_get_msi_domain(dev) != from)
		return -ENODEV;
	if (dev->msi.data)
		return -EBUSY;
	dev_set_msi_domain(dev, to);
	return 0;
}

int vtd_helper_enter_msi_domain(struct pci_dev *pdev, struct irq_domain *domain)
{
	return change_domain(&pdev->dev, x86_vector_domain, domain);
}

/* Buses keep no domain that may be removed next: the one of the device, and the one below it. */
int vtd_helper_leave_msi_domain(struct pci_dev *pdev, struct irq_domain *domain)
{
	int err = change_domain(&pdev->dev, domain, x86_vector_domain);

	if (err)
		return err;
	leave_inherited(&pdev->bus->dev);
	if (pdev->subordinate)
		leave_inherited(&pdev->subordinate->dev);
	return 0;
}

/* The module is not removed any more. */
void vtd_helper_keep_loaded(void)
{
	__module_get(THIS_MODULE);
}

bool vtd_helper_has_msi_data(struct device *dev)
{
	return READ_ONCE(dev->msi.data);
}

/* Whether the domains of this chip exist for good. Those of devices may be freed at any time. */
static bool domain_stays(const char *chip)
{
	return !strcmp(chip, "IO-APIC") || !strcmp(chip, "HPET-MSI");
}

/*
 * Copies the outermost chip of an interrupt, the domain of an IO-APIC's or HPET's, and what its
 * first handler is called.
 */
bool vtd_helper_describe_irq(unsigned int irq, struct vtd_irq_description *to)
{
	struct irq_data *data;
	struct irq_desc *desc;
	unsigned long flags;

	memset(to, 0, sizeof(*to));
	/* A descriptor is freed after a grace period. */
	guard(rcu)();
	data = irq_get_irq_data(irq);
	if (!data)
		return false;
	desc = irq_data_to_desc(data);
	raw_spin_lock_irqsave(&desc->lock, flags);
	if (data->chip && data->chip->name)
		strscpy(to->chip, data->chip->name);
	if (domain_stays(to->chip) && data->domain && data->domain->name)
		strscpy(to->domain, data->domain->name);
	to->hwirq = data->hwirq;
	to->in_use = desc->action;
	if (desc->action && desc->action->name)
		strscpy(to->action, desc->action->name);
	raw_spin_unlock_irqrestore(&desc->lock, flags);
	return true;
}
