/* SPDX-License-Identifier: GPL-2.0 */
#ifndef VTD_BENCH_H
#define VTD_BENCH_H

#include <linux/iommu.h>
#include <linux/irqflags.h>
#include <linux/pci.h>
#include <linux/seq_buf.h>
#include <linux/sizes.h>

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

/*
 * Works: what is mapped and unmapped again. At other offsets in the table than
 * the memory's, but for what larger pages need.
 */
#define BASE		(SZ_1G * 16ULL)	/* all of them begin here */
#define PHYS		(SZ_1G * 2ULL)	/* nothing does DMA: it need not exist */
#define PROT		(IOMMU_READ | IOMMU_WRITE)
#define WARM_UP		8
#define REPETITIONS	64

struct work {
	const char *name;
	u64 offset;	/* of the IOVA from BASE */
	u64 phys;	/* of the memory from PHYS */
	u64 size;
	u64 stride;	/* from one repetition to the next */
	bool crowded;	/* every other entry of the leaf table is in use */
};

extern const struct work works[];

/* Map what is around a work, so that its table is what it asks for. */
int work_surround(struct ground *g, const struct work *w);
void work_clear(struct ground *g, const struct work *w);
bool work_is_mapped(struct ground *g, const struct work *w, unsigned int round);
bool work_is_unmapped(struct ground *g, const struct work *w, unsigned int round);

static inline u64 work_iova(const struct work *w, unsigned int round)
{
	return BASE + w->offset + round * w->stride;
}

/* GFP_ATOMIC, for interrupts may be off. */
static inline int work_map(struct ground *g, const struct work *w,
			   unsigned int round)
{
	return iommu_map(g->domain, work_iova(w, round), PHYS + w->phys, w->size,
			 PROT, GFP_ATOMIC);
}

static inline size_t work_unmap(struct ground *g, const struct work *w,
				unsigned int round)
{
	return iommu_unmap(g->domain, work_iova(w, round), w->size);
}

/* What an empty statement takes. */
u64 empty_ticks(void);

/* Append " least= most= mean= count=" to a line, without the cost of timing. */
void ticks_tell(struct seq_buf *out, const struct ticks *t);

/* Each appends its lines to the report and returns 0, or why it could not. */
int measure_instructions(struct seq_buf *out, const char *unused);
int profile_instructions(struct seq_buf *out, const char *row);
int count_descriptors(struct seq_buf *out, const char *work);
int measure_dma(struct seq_buf *out, const char *unused);
int hold(struct seq_buf *out, const char *what);
int count_pages(struct seq_buf *out, const char *state);
int measure_growth(struct seq_buf *out, const char *unused);
int measure_devices(struct seq_buf *out, const char *unused);

int set_window(struct seq_buf *out, const char *what);

/* When the module goes. */
void hold_end(void);

#endif /* VTD_BENCH_H */
