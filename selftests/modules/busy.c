// SPDX-License-Identifier: GPL-2.0
/*
 * vtd_busy - leave a remapping unit as another driver or the firmware might: with its
 * queue, translation or interrupt remapping enabled. A load of vtd.ko has to detect that
 * and refuse, or, if only the queue is enabled, disable it. Removing the module restores
 * the unit.
 *
 * The register page is not reserved, so that only the unit's state can reveal it.
 */
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/iopoll.h>
#include <linux/module.h>
#include <linux/mm.h>

#define GCMD	0x18
#define GSTS	0x1c
#define RTADDR	0x20
#define IQT	0x88
#define IQA	0x90
#define IRTA	0xb8
#define TE	BIT(31)
#define SRTP	BIT(30)
#define QIE	BIT(26)
#define IRE	BIT(25)
#define SIRTP	BIT(24)

#define WAIT_WITH_STATUS	0x25	/* type 5, write a status word */
#define DESCRIPTOR		16
#define TIMEOUT_US		USEC_PER_SEC

static unsigned long base;
module_param(base, ulong, 0444);
MODULE_PARM_DESC(base, "physical address of the unit's register page");

static char *state = "queue";
module_param(state, charp, 0444);
MODULE_PARM_DESC(state, "what to enable: queue, translation or interrupts");

static void __iomem *unit;
static struct page *table;	/* an empty root, queue or interrupt table */

static int command(u32 value, u32 status, bool set)
{
	u32 now;

	writel(value, unit + GCMD);
	return readl_poll_timeout(unit + GSTS, now, !(now & status) == !set, 10,
				  TIMEOUT_US);
}

/* A queue is disabled cleanly only if its last descriptor was a wait. */
static void drain(void)
{
	u64 *queue = page_address(table);
	u32 tail;

	queue[1] = page_to_phys(table) + PAGE_SIZE / 2;
	queue[0] = WAIT_WITH_STATUS;
	writeq(DESCRIPTOR, unit + IQT);
	if (readl_poll_timeout(unit + IQT - 8, tail, tail == DESCRIPTOR, 10, TIMEOUT_US))
		pr_err("the queue did not take its last descriptor\n");
}

static int turn_on(void)
{
	u64 phys = page_to_phys(table);

	if (!strcmp(state, "queue")) {
		int err;

		writeq(0, unit + IQT);
		writeq(phys, unit + IQA);
		err = command(QIE, QIE, true);
		if (!err)
			drain();
		return err;
	}
	if (!strcmp(state, "translation")) {
		/* An empty root: every device is blocked. */
		writeq(phys, unit + RTADDR);
		return command(SRTP, SRTP, true) ?: command(TE, TE, true);
	}
	if (!strcmp(state, "interrupts")) {
		writeq(phys, unit + IRTA);
		return command(SIRTP, SIRTP, true) ?: command(IRE, IRE, true);
	}
	pr_err("state=%s is not valid: give queue, translation or interrupts\n", state);
	return -EINVAL;
}

static void put_back(void)
{
	if (command(0, TE | QIE | IRE, false))
		pr_err("the unit could not be disabled: status %#x\n", readl(unit + GSTS));
	writeq(0, unit + IQT);
	writeq(0, unit + IQA);
	writeq(0, unit + RTADDR);
	iounmap(unit);
	__free_page(table);
}

static int __init vtd_busy_init(void)
{
	int err;

	if (!base || base % PAGE_SIZE) {
		pr_err("base=%#lx is not the address of a page: give base=<page address>\n",
		       base);
		return -EINVAL;
	}
	table = alloc_page(GFP_KERNEL | __GFP_ZERO);
	if (!table)
		return -ENOMEM;
	unit = ioremap(base, PAGE_SIZE);
	if (!unit) {
		__free_page(table);
		return -ENOMEM;
	}
	err = turn_on();
	if (err)
		put_back();
	return err;
}

static void __exit vtd_busy_exit(void)
{
	put_back();
}

module_init(vtd_busy_init);
module_exit(vtd_busy_exit);
MODULE_DESCRIPTION("Leave a remapping unit busy, so that vtd has to refuse it, or to clean up");
MODULE_LICENSE("GPL");
