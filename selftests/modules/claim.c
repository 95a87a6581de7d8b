// SPDX-License-Identifier: GPL-2.0
/*
 * vtd_claim - reserve one page of physical address space, like another driver of a
 * remapping unit, so that a load of vtd.ko has to refuse it.
 */
#include <linux/ioport.h>
#include <linux/module.h>

static unsigned long base;
module_param(base, ulong, 0444);
MODULE_PARM_DESC(base, "physical address of the page to reserve");

static int __init vtd_claim_init(void)
{
	if (!base || base % PAGE_SIZE) {
		pr_err("base=%#lx is not the address of a page: give base=<page address>\n",
		       base);
		return -EINVAL;
	}
	if (!request_mem_region(base, PAGE_SIZE, "vtd_claim")) {
		pr_err("the page at %#lx is already reserved: see /proc/iomem\n", base);
		return -EBUSY;
	}
	return 0;
}

static void __exit vtd_claim_exit(void)
{
	release_mem_region(base, PAGE_SIZE);
}

module_init(vtd_claim_init);
module_exit(vtd_claim_exit);
MODULE_DESCRIPTION("Reserve a register page, so that vtd has to refuse it");
MODULE_LICENSE("GPL");
