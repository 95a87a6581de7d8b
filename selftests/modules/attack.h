/* SPDX-License-Identifier: GPL-2.0 */
/* What the parts of vtd_attack share. */
#ifndef VTD_ATTACK_H
#define VTD_ATTACK_H

#include <linux/dma-mapping.h>
#include <linux/mutex.h>

#include "devices.h"

/* What a victim page holds before the attack, in every word. */
#define SECRET		0x5ec2e75au
/* What a page holds before an allowed write of the device. */
#define UNTOUCHED	0x0badf00du
#define ATTACK_LEN	4

struct vtd_attack {
	struct vtd_dma_device dev;
	struct dentry *dir;
	struct mutex lock;	/* one scenario at a time; protects @result */
	struct page *bench;	/* a page that the device may always use */
	dma_addr_t bench_iova;
	char result[400];
};

struct result {
	dma_addr_t iova;
	phys_addr_t frame;
	bool warm;	/* the mapping was used by the device before */
	bool landed;	/* data moved */
	bool intact;	/* the victim page is as it was */
	bool stale;	/* data moved to a page without owner */
	int refs[2];	/* references to the page, after the unmap and after it was freed */
	int reused;	/* the allocation that got the page first, from 1; 0: none */
	u64 back_us;	/* when the allocator had the page again, since the unmap */
	u32 hits;	/* how often a repeated attack landed */
	u64 last_us;	/* when it last did, since the unmap */
};

/* How the address that the device accesses was prepared. */
enum how {
	MAPPED,		/* mapped, in the direction that the scenario names */
	NEVER,		/* the page's physical address, which is not mapped */
	STALE,		/* mapped, used once by the device, unmapped */
	WINDOW,		/* the same, attacked again and again until it is refused */
	FREED,		/* mapped, used, unmapped, freed, and allocated again if possible */
	FREED_SLAB,	/* the same with an object of a slab */
	FREED_POOL,	/* the same with a page of a pool */
	STRESS,		/* the first by several threads, again and again */
};

/* Longer than any flush may be deferred. */
#define WINDOW_LIMIT_US	(3 * USEC_PER_SEC)

struct scenario {
	const char *name;
	enum how how;
	enum dma_data_direction dir;
	bool write;
	bool allowed;
	int times;	/* 0: once; the seconds that a stress takes */
};

void vtd_attack_fill(struct page *page);
bool vtd_attack_intact(struct page *page);
int vtd_attack_strike(struct vtd_attack *a, const struct scenario *s, struct page *victim,
		      dma_addr_t iova, bool *landed);
int vtd_attack_warm_up(struct vtd_attack *a, struct page *victim, dma_addr_t iova, bool *warm);

/* attack_freed.c */
int vtd_attack_freed(struct vtd_attack *a, const struct scenario *s, struct result *r);

/* attack_stress.c */
int vtd_attack_stress(struct vtd_attack *a, const struct scenario *s, struct result *r);

#endif
