/* SPDX-License-Identifier: GPL-2.0 */
#ifndef VTD_DOMAIN_H
#define VTD_DOMAIN_H

#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/seq_buf.h>
#include <linux/sizes.h>

#include "devices.h"

#define BENCH_DEVICES	2
/* The bench's memory: a large page, so that mapping one maps no other memory. */
#define BENCH_ORDER	get_order(SZ_2M)

/*
 * Whether the core counts what is mapped. It then warns of a page that is freed or
 * allocated while mapped, and of requests that no real user of the core makes.
 */
#define CORE_COUNTS	IS_ENABLED(CONFIG_IOMMU_DEBUG_PAGEALLOC)

/* No memory is at these addresses: only entries hold them. */
#define NOWHERE		(64ULL * SZ_1G)

/* drivers/iommu/iommu-pages.h: exported, but declared there only. */
void iommu_put_pages_list(struct iommu_pages_list *list);

/* Devices with an unmanaged domain of ours, and a page for them to write to. */
struct bench {
	struct vtd_dma_device *dev[BENCH_DEVICES];
	int devices;
	struct iommu_group *group[BENCH_DEVICES];
	int claimed;		/* how many groups are claimed */
	int attached;		/* how many groups have our domain */
	struct iommu_domain *domain;
	struct page *block;	/* the bench's memory */
	struct page *page;	/* the page in it that devices write to */
	struct seq_buf *out;	/* a line for everything that was wrong */
	char note[160];		/* further text, after "ok" */
};

struct domain_scenario {
	const char *name;
	int devices;		/* how many it needs */
	bool own;		/* whether it starts with groups claimed and attached */
	void (*play)(struct bench *b);
};

extern const struct domain_scenario domain_scenarios[];
extern const struct domain_scenario domain_requests[];
extern const struct domain_scenario domain_failures[];

void play_oracle(struct bench *b);
void play_threads(struct bench *b);

int bench_claim(struct bench *b);
int bench_attach(struct bench *b);
void bench_detach(struct bench *b);
void bench_release(struct bench *b);

/* Returns whether device @i's write to @iova reached the page; < 0: no answer. */
int bench_write_lands(struct bench *b, int i, dma_addr_t iova);

/* Report what was wrong, with values, and continue. */
#define expect(b, cond, fmt, ...)					\
	do {								\
		if (!(cond))						\
			seq_buf_printf((b)->out, fmt "\n", ##__VA_ARGS__); \
	} while (0)

#endif /* VTD_DOMAIN_H */
