/* SPDX-License-Identifier: GPL-2.0 */
#ifndef VTD_BENCH_H
#define VTD_BENCH_H

#include <linux/iommu.h>
#include <linux/irqflags.h>
#include <linux/pci.h>
#include <linux/seq_buf.h>

#include <asm/tsc.h>

/* What is measured on: one device, and a paging domain made for it. */
struct ground {
	struct pci_dev *pdev;
	struct iommu_domain *domain;
	struct iommu_group *group;	/* NULL while the device is not ours */
};

/* Make a domain for the bench device; @attach also claims and attaches it. */
int ground_open(struct ground *g, bool attach);
void ground_close(struct ground *g);

/* Ticks that a number of equal operations took. */
struct ticks {
	u64 least, most, sum;
	unsigned int count;
};

void ticks_add(struct ticks *t, u64 ticks);

/*
 * Seen by the profiler (profile/window.c) in the instruction stream: a no-op
 * with a number in its displacement opens a window, another one closes it.
 */
#define WINDOW_OPEN	0x56544401
#define WINDOW_CLOSE	0x56544402
static __always_inline void window_mark(const u32 number)
{
	asm volatile(".byte 0x0f, 0x1f, 0x84, 0x00\n\t.long %c0"
		     : : "i" (number) : "memory");
}

/*
 * Ticks of one statement. Interrupts are off, so that nothing else runs in
 * between; the statement must not sleep. Under "-icount shift=0" one tick is
 * one instruction.
 */
#define ticks_of(statement)						\
({									\
	unsigned long __flags;						\
	u64 __start, __end;						\
									\
	local_irq_save(__flags);					\
	barrier();							\
	__start = rdtsc();						\
	barrier();							\
	statement;							\
	barrier();							\
	__end = rdtsc();						\
	barrier();							\
	local_irq_restore(__flags);					\
	__end - __start;						\
})

/* The same statement, in a window instead of between two times. */
#define window_of(statement)						\
do {									\
	unsigned long __flags;						\
									\
	local_irq_save(__flags);					\
	window_mark(WINDOW_OPEN);					\
	statement;							\
	window_mark(WINDOW_CLOSE);					\
	local_irq_restore(__flags);					\
} while (0)

/* Each appends its lines to the report and returns 0, or why it could not. */
int measure_instructions(struct seq_buf *out, const char *unused);
int profile_instructions(struct seq_buf *out, const char *row);

#endif /* VTD_BENCH_H */
