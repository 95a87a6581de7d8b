// SPDX-License-Identifier: GPL-2.0
/*
 * vfio_outage EVENT UNIT BDF BDF - one domain for two devices behind different units, while
 * something happens to the unit of one of them:
 *
 *	slow	it completes each invalidation late
 *	fails	it completes nothing more, or has reported an error
 *	sleeps	as all units, it is suspended and resumes
 *
 * Each of two steps waits for a line of standard input: one before the event, one after it began.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "vfio_pair.h"

#define BASE		(64 * GIB)
#define IOVA(area)	(BASE + (area) * PAGE)
#define ROUNDS		3
#define CPUS		8	/* at most */

/*
 * In milliseconds. A unit has a second to complete something. A processor that waits for that
 * handles interrupts as ever. Then the unit has failed, and has another second to drain, for which
 * one processor waits with interrupts off.
 */
#define LONGEST		3000
#define WITHOUT_TICKS	250
#define DRAINING	1400
#define LATE		100	/* each unmap while the unit is slow, at least */
#define ORDINARY	400
#define CALIBRATION	300
#define SAMPLE		5

/* A processor that unmaps one area. */
struct worker {
	pthread_t thread;
	pthread_barrier_t *start;
	unsigned int cpu, area;
	double begin, end;
	/* When the processor's timer was last seen to tick, and its count then. */
	double ticked;
	unsigned long count;
	double without_ticks;	/* the longest time */
	int runs, good;
};

static char *memory;
static double tick_ms;
static struct pair pair;
static struct user *struck, *spared;	/* by the event */
static pthread_mutex_t sampling = PTHREAD_MUTEX_INITIALIZER;

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static void pin(unsigned int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
}

/* Returns how many interrupts of its timer a processor has handled. */
static unsigned long ticks(unsigned int cpu)
{
	FILE *file = fopen("/proc/interrupts", "r");
	unsigned long count = 0;
	char line[1024], *at;
	int found = 0;

	while (file && !found && fgets(line, sizeof(line), file)) {
		at = strstr(line, "LOC:");
		found = !!at;
		for (at += 4; found && cpu + 1; cpu--)
			count = strtoul(at, &at, 10);
	}
	if (!found)
		die("the timer's line in /proc/interrupts");
	fclose(file);
	return count;
}

/* Measures the time between two ticks of a processor that is busy. */
static void calibrate(void)
{
	double begin = now_ms(), end;
	unsigned long before;

	pin(0);
	before = ticks(0);
	do {
		end = now_ms();
	} while (end < begin + CALIBRATION);
	tick_ms = (end - begin) / (ticks(0) - before);
}

/* Of several ticks since the last sample, only one may have been late. */
static void sample(struct worker *w, double now, unsigned long count)
{
	double without = now - w->ticked;

	if (count != w->count) {
		without -= (count - w->count - 1) * tick_ms;
		w->ticked = now;
		w->count = count;
	}
	if (without > w->without_ticks)
		w->without_ticks = without;
}

static void *work(void *context)
{
	struct worker *w = context;

	pin(w->cpu);
	pthread_barrier_wait(w->start);
	pthread_mutex_lock(&sampling);
	w->count = ticks(w->cpu);
	w->begin = now_ms();
	w->ticked = w->begin;
	w->runs = 1;
	pthread_mutex_unlock(&sampling);
	w->good = unmap(spared, IOVA(w->area), PAGE);
	w->end = now_ms();
	pthread_mutex_lock(&sampling);
	sample(w, now_ms(), ticks(w->cpu));
	w->runs = 0;
	pthread_mutex_unlock(&sampling);
	return NULL;
}

/* Watches the ticks of processors that wait; runs on the last of them as soon as it may. */
static void *watch(void *context)
{
	struct sched_param first = { .sched_priority = 1 };
	struct worker *w, *workers = context;

	pin(sysconf(_SC_NPROCESSORS_ONLN) - 1);
	if (sched_setscheduler(0, SCHED_FIFO, &first))
		die("sched_setscheduler");
	for (;;) {
		usleep(SAMPLE * 1000);
		pthread_testcancel();
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
		pthread_mutex_lock(&sampling);
		for (w = workers; w < workers + CPUS; w++) {
			if (w->runs)
				sample(w, now_ms(), ticks(w->cpu));
		}
		pthread_mutex_unlock(&sampling);
		pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	}
	return NULL;
}

struct result {
	double ms;		/* from the first begin to the last end */
	double without_ticks;	/* the longest time of any processor */
	int good;
};

/* Each of @count processors unmaps one area, from @area on, at the same time. */
static struct result unmap_together(unsigned int count, unsigned int area)
{
	struct worker workers[CPUS] = { 0 };
	struct result all = { .good = 1 };
	double begin = 0, end = 0;
	pthread_barrier_t start;
	pthread_t watcher;
	unsigned int i;

	pthread_barrier_init(&start, NULL, count);
	if (pthread_create(&watcher, NULL, watch, workers))
		die("a thread");
	for (i = 0; i < count; i++) {
		struct worker *w = &workers[i];

		*w = (struct worker) { .start = &start, .cpu = i, .area = area + i };
		if (pthread_create(&w->thread, NULL, work, w))
			die("a thread");
	}
	for (i = 0; i < count; i++) {
		struct worker *w = &workers[i];

		pthread_join(w->thread, NULL);
		begin = !i || w->begin < begin ? w->begin : begin;
		end = w->end > end ? w->end : end;
		if (w->without_ticks > all.without_ticks)
			all.without_ticks = w->without_ticks;
		all.good &= w->good;
	}
	pthread_cancel(watcher);
	pthread_join(watcher, NULL);
	pthread_barrier_destroy(&start);
	all.ms = end - begin;
	return all;
}

/* Adds the times of one round to those of others. */
static void add(struct result *all, struct result one)
{
	all->ms += one.ms;
	all->good &= one.good;
	if (one.without_ticks > all->without_ticks)
		all->without_ticks = one.without_ticks;
}

/* Maps each area by itself, since it is unmapped as a whole, and lets both units cache it. */
static int prepare(unsigned int areas)
{
	unsigned int area, ids[2];
	int good = is_shared(&pair, ids);

	for (area = 0; area < areas && good; area++)
		good = !map(spared, memory, IOVA(area), PAGE) &&
		       both_reach(&pair, IOVA(area), memory);
	return good;
}

static void play_slow(unsigned int cpus)
{
	struct result one = { .good = 1 }, all = { .good = 1 };
	unsigned int i, area = 1;
	int denied = 1;

	/* From here on, each wait begins just after another one ended. */
	unmap_together(1, 0);
	for (i = 0; i < ROUNDS; i++, area++) {
		add(&one, unmap_together(1, area));
		denied &= both_are_denied(&pair, IOVA(area), memory);
	}
	for (i = 0; i < ROUNDS; i++, area += cpus)
		add(&all, unmap_together(cpus, area));
	printf("note %d unmaps of one processor: %.0f ms, at most %.0f ms without a tick\n", ROUNDS,
	       one.ms, one.without_ticks);
	printf("note %d unmaps of each of %u: %.0f ms, at most %.0f ms without a tick\n", ROUNDS,
	       cpus, all.ms, all.without_ticks);
	claim(spared, one.good && one.ms > ROUNDS * LATE, "an unmap waits for the slow unit");
	claim(spared, denied, "what was unmapped is out of reach when the unmap returns");
	claim(spared, all.good && all.ms < one.ms * 3 / 2,
	      "processors that unmap at the same time wait no longer than one");
	add(&one, all);
	claim(spared, one.without_ticks < WITHOUT_TICKS * patience(),
	      "interrupts are handled during the wait");
	for (i = 0; i < area; i++)
		denied &= both_are_denied(&pair, IOVA(i), memory);
	claim(spared, denied, "all of it is out of reach");
}

static void play_failing(unsigned int cpus)
{
	struct result now = unmap_together(cpus, 0);
	unsigned int i;
	int good = 1;

	printf("note unmaps by %u processors: %.0f ms, at most %.0f ms without a tick\n", cpus,
	       now.ms, now.without_ticks);
	claim(spared, now.good && now.ms < LONGEST * patience(),
	      "unmaps by all processors at the same time end");
	claim(spared, now.without_ticks < DRAINING * patience(),
	      "interrupts are off at most while the failed unit drains");
	for (i = 0; i < cpus; i++)
		good &= denied(spared, IOVA(i), (void *)memory);
	claim(spared, good, "the other unit's device is refused what was unmapped");
	claim(spared, lands(spared, IOVA(cpus), (void *)memory), "it reaches what is still mapped");
	good = !lands(struck, IOVA(0), (void *)memory);
	good &= !lands(struck, IOVA(cpus), (void *)memory);
	claim(spared, good, "the failed unit's device reaches neither");
	claim_errno(spared, map(spared, memory, IOVA(0), PAGE), 0, "memory can be mapped again");
	claim(spared, lands(spared, IOVA(0), (void *)memory), "the other unit's device reaches it");
	claim(spared, !lands(struck, IOVA(0), (void *)memory), "the failed unit's device does not");
	now = unmap_together(1, 0);
	printf("note the last unmap: %.0f ms\n", now.ms);
	claim(spared, now.good && now.ms < ORDINARY * patience(), "it is unmapped without a wait");
	claim(spared, denied(spared, IOVA(0), (void *)memory), "it is refused then");
}

static void play_sleeping(unsigned int cpus)
{
	claim(spared, both_reach(&pair, IOVA(0), memory),
	      "both devices reach what was mapped before");
	claim(spared, unmap_together(cpus, 0).good && both_are_denied(&pair, IOVA(0), memory),
	      "it is unmapped, and refused to both");
	claim(spared, !map(spared, memory, IOVA(0), PAGE) && both_reach(&pair, IOVA(0), memory),
	      "memory is mapped, and both reach it");
	claim(spared, unmap(spared, IOVA(0), PAGE) && both_are_denied(&pair, IOVA(0), memory),
	      "it is unmapped, and refused to both again");
}

static void find_struck(const char *unit)
{
	char name[16];

	unit_name(&pair.first, name);
	struck = strcmp(name, unit) ? &pair.second : &pair.first;
	spared = struck == &pair.first ? &pair.second : &pair.first;
	unit_name(struck, name);
	if (strcmp(name, unit)) {
		fprintf(stderr, "neither device is behind %s\n", unit);
		exit(2);
	}
}

static void (*event_called(const char *name))(unsigned int cpus)
{
	if (!strcmp(name, "slow"))
		return play_slow;
	if (!strcmp(name, "fails"))
		return play_failing;
	return strcmp(name, "sleeps") ? NULL : play_sleeping;
}

int main(int argc, char **argv)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	void (*play)(unsigned int cpus) = argc == 5 ? event_called(argv[1]) : NULL;

	if (!play) {
		fprintf(stderr, "usage: vfio_outage slow|fails|sleeps UNIT BDF BDF\n");
		return 2;
	}
	cpus = cpus > CPUS ? CPUS : cpus;
	memory = get_memory(PAGE);
	open_pair(&pair, argv[3], argv[4]);
	find_struck(argv[2]);
	calibrate();
	if (!next_step())
		return 2;
	claim(spared, prepare(1 + ROUNDS * (cpus + 1)),
	      "one domain serves both units, and both devices reach its memory");
	if (!next_step())
		return 2;
	play(cpus);
	return spared->failed;
}
