/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel headers that kernel::bindings does not cover, for a separate bindgen
 * run. ../bindgen_parameters lists the items that are generated from them. An item
 * that kernel::bindings already has must not be generated again.
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
#include "../helpers/trace.h"
