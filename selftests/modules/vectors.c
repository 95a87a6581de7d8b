// SPDX-License-Identifier: GPL-2.0
/*
 * vtd_vectors - allocate interrupts of a device without a driver, and make it raise them.
 *
 * User space writes to debugfs vtd_vectors/run:
 *
 *   BDF msi N      exactly N interrupts of conventional MSI, each with a handler
 *   BDF msix N     exactly N interrupts of MSI-X; the first HANDLED have a handler
 *   BDF more 0     one more interrupt of MSI-X, with a handler
 *   BDF raise N    the device raises its interrupt N: QEMU's edu, xhci (MSI) or igb (MSI-X)
 *   BDF cost N     edu raises its interrupt N times, and its affinity is set N times
 *   BDF free 0     all of them are freed
 *   BDF hide 0     the device has no MSI domain, as if a controller above it had another one
 *   BDF show 0     it has the domain again that it had before
 *
 * One device has interrupts at a time. The file then has the Linux number of each interrupt with
 * a handler, and how often that was called. For a cost it has lines for `make bench`, in ticks of
 * the time stamp counter, which are instructions under QEMU's -icount.
 */
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/msi.h>
#include <linux/pci.h>
#include <linux/module.h>

#include "runfile.h"

#define HANDLED		16
#define EDU		0x123411e8
#define XHCI		0x1b36000d
#define IGB		0x808610c9

#define EDU_RAISE	0x60
#define EDU_ACK		0x64

/* Rounds of a loop of two instructions, by which the reader checks what a tick is. */
#define CALIBRATION	1000

/* xHCI 5.4, 5.5; where QEMU has these registers. */
#define XHCI_USBCMD	0x40
#define XHCI_INTE	BIT(2)
#define XHCI_INTERRUPTER(n)	(0x1020 + 32 * (n))
#define XHCI_IMAN	0x00
#define XHCI_IMAN_IE	BIT(1)
#define XHCI_ERSTSZ	0x08
#define XHCI_ERSTBA	0x10
#define XHCI_ERDP	0x18
#define XHCI_ERDP_EHB	BIT(3)
#define XHCI_TRB	16

/* Intel 82576. */
#define IGB_EICR	0x1580
#define IGB_EICS	0x1520
#define IGB_EIMS	0x1524
#define IGB_GPIE	0x1514
#define IGB_GPIE_MULTIPLE_MSIX	BIT(4)

static struct {
	struct pci_dev *pdev;
	int count;		/* with a handler */
	int irqs[HANDLED];
	atomic_t calls[HANDLED];
	struct msi_map more;
	struct pci_dev *hidden;
	struct irq_domain *domain;	/* that @hidden had */
} vectors;

static irqreturn_t handle(int irq, void *calls)
{
	atomic_inc(calls);
	return IRQ_HANDLED;
}

static int add_handler(int irq)
{
	int err;

	atomic_set(&vectors.calls[vectors.count], 0);
	err = request_irq(irq, handle, 0, "vtd_vectors", &vectors.calls[vectors.count]);
	if (!err)
		vectors.irqs[vectors.count++] = irq;
	return err;
}

static void free_all(void)
{
	if (!vectors.pdev)
		return;
	while (vectors.count) {
		vectors.count--;
		free_irq(vectors.irqs[vectors.count], &vectors.calls[vectors.count]);
	}
	if (vectors.more.virq) {
		pci_msix_free_irq(vectors.pdev, vectors.more);
		vectors.more.virq = 0;
	}
	pci_free_irq_vectors(vectors.pdev);
	pci_dev_put(vectors.pdev);
	vectors.pdev = NULL;
}

static int allocate(struct pci_dev *pdev, int count, unsigned int kind)
{
	int number, err;

	if (vectors.pdev)
		return -EBUSY;
	err = pci_enable_device_mem(pdev);
	if (err)
		return err;
	pci_set_master(pdev);
	err = pci_alloc_irq_vectors(pdev, count, count, kind);
	if (err < 0)
		return err;
	vectors.pdev = pci_dev_get(pdev);
	err = 0;
	for (number = 0; number < min(count, HANDLED) && !err; number++)
		err = add_handler(pci_irq_vector(pdev, number));
	if (err)
		free_all();
	return err;
}

static int one_more(struct pci_dev *pdev)
{
	if (vectors.pdev != pdev || vectors.more.virq || vectors.count == HANDLED)
		return -EINVAL;
	vectors.more = pci_msix_alloc_irq_at(pdev, MSI_ANY_INDEX, NULL);
	if (vectors.more.index < 0) {
		vectors.more.virq = 0;
		return vectors.more.index;
	}
	return add_handler(vectors.more.virq);
}

/*
 * An interrupter raises its interrupt if its register says that the ring of its events was read up
 * to another place than it was written to. The ring exists, but has no event.
 */
static int raise_xhci(struct pci_dev *pdev, void __iomem *mmio, int number)
{
	void __iomem *at = mmio + XHCI_INTERRUPTER(number);
	dma_addr_t iova;
	__le64 *segment;

	segment = dma_alloc_coherent(&pdev->dev, PAGE_SIZE, &iova, GFP_KERNEL);
	if (!segment)
		return -ENOMEM;
	/* The table of one segment is at the beginning of the page, and the ring behind it. */
	segment[0] = cpu_to_le64(iova + 0x100);
	segment[1] = cpu_to_le64(XHCI_TRB);
	writel(XHCI_INTE, mmio + XHCI_USBCMD);
	writel(XHCI_IMAN_IE, at + XHCI_IMAN);
	writel(1, at + XHCI_ERSTSZ);
	writel(lower_32_bits(iova), at + XHCI_ERSTBA);
	writel(upper_32_bits(iova), at + XHCI_ERSTBA + 4);
	iova += 0x100 + XHCI_TRB;
	writel(upper_32_bits(iova), at + XHCI_ERDP + 4);
	writel(lower_32_bits(iova) | XHCI_ERDP_EHB, at + XHCI_ERDP);
	/* The ring is freed next. */
	writel(0, at + XHCI_IMAN);
	writel(0, at + XHCI_ERSTSZ);
	writel(0, at + XHCI_ERSTBA);
	writel(0, at + XHCI_ERSTBA + 4);
	dma_free_coherent(&pdev->dev, PAGE_SIZE, segment, iova - 0x100 - XHCI_TRB);
	return 0;
}

static int raise(struct pci_dev *pdev, int number)
{
	int before, tries, err = 0;
	void __iomem *mmio;

	if (vectors.pdev != pdev || number < 0 || number >= vectors.count)
		return -EINVAL;
	mmio = pci_iomap(pdev, 0, 0);
	if (!mmio)
		return -ENOMEM;
	before = atomic_read(&vectors.calls[number]);
	switch ((u32)pdev->vendor << 16 | pdev->device) {
	case XHCI:
		err = raise_xhci(pdev, mmio, number);
		break;
	case EDU:
		writel(1, mmio + EDU_RAISE);
		writel(1, mmio + EDU_ACK);
		break;
	case IGB:
		writel(IGB_GPIE_MULTIPLE_MSIX, mmio + IGB_GPIE);
		writel(BIT(number), mmio + IGB_EICR);
		writel(BIT(number), mmio + IGB_EIMS);
		writel(BIT(number), mmio + IGB_EICS);
		break;
	default:
		err = -EOPNOTSUPP;
	}
	/* It is on its way to a processor, and is handled there: soon, unless the host is busy. */
	readl(mmio);
	for (tries = 0; tries < 100; tries++) {
		msleep(20);
		if (atomic_read(&vectors.calls[number]) != before)
			break;
	}
	pci_iounmap(pdev, mmio);
	return err;
}

struct ticks {
	u64 least, most, sum;
	int count;
};

static void add(struct ticks *to, u64 ticks)
{
	to->least = to->count++ ? min(to->least, ticks) : ticks;
	to->most = max(to->most, ticks);
	to->sum += ticks;
}

static void print(struct seq_buf *out, const char *what, const struct ticks *ticks)
{
	seq_buf_printf(out, "interrupts op=%s least=%llu most=%llu mean=%llu\n", what,
		       ticks->least, ticks->most, ticks->sum / max(ticks->count, 1));
}

/* From the write that makes edu raise its interrupt until its handler has returned. */
static int cost_of_interrupt(struct pci_dev *pdev, int times, struct ticks *ticks)
{
	void __iomem *mmio = pci_iomap(pdev, 0, 0);
	int round, before, spins;
	u64 start;

	if (!mmio)
		return -ENOMEM;
	for (round = 0; round < times; round++) {
		before = atomic_read(&vectors.calls[0]);
		start = rdtsc();
		writel(1, mmio + EDU_RAISE);
		for (spins = 0; atomic_read(&vectors.calls[0]) == before; spins++)
			if (spins == 1000000)
				goto out;
		add(ticks, rdtsc() - start);
		writel(1, mmio + EDU_ACK);
	}
out:
	pci_iounmap(pdev, mmio);
	return round == times ? 0 : -ETIMEDOUT;
}

static int cost(struct seq_buf *out, struct pci_dev *pdev, int times)
{
	struct ticks interrupt = {}, affinity = {};
	unsigned long rounds = CALIBRATION;
	u64 start, end;
	int err;

	if (vectors.pdev != pdev || ((u32)pdev->vendor << 16 | pdev->device) != EDU)
		return -EINVAL;
	start = rdtsc();
	asm volatile("1: dec %0; jnz 1b" : "+r" (rounds));
	end = rdtsc();
	seq_buf_printf(out, "clock known=%llu expected=%d\n", end - start, 2 * CALIBRATION);
	err = cost_of_interrupt(pdev, times, &interrupt);
	while (!err && affinity.count < times) {
		start = rdtsc();
		err = irq_set_affinity(vectors.irqs[0], cpumask_of(0));
		add(&affinity, rdtsc() - start);
	}
	print(out, "interrupt", &interrupt);
	print(out, "affinity", &affinity);
	return err;
}

static void show(void)
{
	if (!vectors.hidden)
		return;
	dev_set_msi_domain(&vectors.hidden->dev, vectors.domain);
	pci_dev_put(vectors.hidden);
	vectors.hidden = NULL;
}

static int hide(struct pci_dev *pdev)
{
	if (vectors.hidden)
		return -EBUSY;
	vectors.hidden = pci_dev_get(pdev);
	vectors.domain = dev_get_msi_domain(&pdev->dev);
	dev_set_msi_domain(&pdev->dev, NULL);
	return 0;
}

static int run_for(struct pci_dev *pdev, const char *what, int number)
{
	if (!strcmp(what, "msi"))
		return allocate(pdev, number, PCI_IRQ_MSI);
	if (!strcmp(what, "msix"))
		return allocate(pdev, number, PCI_IRQ_MSIX);
	if (!strcmp(what, "more"))
		return one_more(pdev);
	if (!strcmp(what, "raise"))
		return raise(pdev, number);
	if (!strcmp(what, "hide"))
		return hide(pdev);
	if (!strcmp(what, "free"))
		free_all();
	else if (!strcmp(what, "show"))
		show();
	else
		return -EINVAL;
	return 0;
}

static int run(struct seq_buf *out, char *line)
{
	unsigned int domain, bus, slot, function;
	struct pci_dev *pdev;
	int number, at, err;
	char what[8];

	if (sscanf(line, "%x:%x:%x.%x %7s %d", &domain, &bus, &slot, &function, what, &number) != 6)
		return -EINVAL;
	pdev = pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(slot, function));
	if (!pdev)
		return -ENODEV;
	if (!strcmp(what, "cost")) {
		err = cost(out, pdev, number);
		pci_dev_put(pdev);
		return err;
	}
	err = run_for(pdev, what, number);
	pci_dev_put(pdev);
	for (at = 0; at < vectors.count; at++)
		seq_buf_printf(out, "%d:%d ", vectors.irqs[at], atomic_read(&vectors.calls[at]));
	return err;
}

static char report[512];
DEFINE_RUNFILE(runs, report, run);

static struct dentry *root;

static int __init vtd_vectors_init(void)
{
	root = debugfs_create_dir("vtd_vectors", NULL);
	runfile_add(&runs, root);
	return 0;
}

static void __exit vtd_vectors_exit(void)
{
	debugfs_remove_recursive(root);
	free_all();
	show();
}

module_init(vtd_vectors_init);
module_exit(vtd_vectors_exit);
MODULE_DESCRIPTION("Allocate and raise interrupts of a device without a driver");
MODULE_LICENSE("GPL");
