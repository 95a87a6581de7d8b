/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel headers that kernel::bindings does not cover, for a bindgen run of
 * our own. Which of their items are taken is listed in ../bindgen_parameters:
 * an item that kernel::bindings already has must never be taken twice.
 */
#include <linux/iommu.h>
#include <linux/generic_pt/iommu.h>
#include <linux/irq.h>
#include <linux/irqdomain.h>
#include <linux/pci.h>
#include <linux/syscore_ops.h>
#include <asm/hw_irq.h>
#include <asm/irqdomain.h>
#include "../helpers/helpers.h"
