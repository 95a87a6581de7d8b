// SPDX-License-Identifier: GPL-2.0
/*
 * vfio_stress MODE BDF - threads map and unmap small and large pages concurrently, in
 * the same tables, while the device (QEMU's iommu-testdev) writes to an address that
 * stays mapped and to one that never is.
 * Needs a few huge pages of 2 MiB.
 */
#include <pthread.h>
#include <time.h>

#include "vfio_user.h"

#define THREADS		4
#define SECONDS		4
#define LARGE		(2 * MIB)
#define MEMORY		(2 * LARGE)
#define SLOTS		64
/* The windows of all threads are interleaved within the same directories. */
#define BASE		(64 * GIB)
#define WINDOW(thread, slot)	(BASE + ((slot) * THREADS + (thread)) * MEMORY)
#define STAYS		(BASE - MEMORY)
#define NEVER		(BASE - 2 * MEMORY)

struct worker {
	pthread_t thread;
	struct user *u;
	char *memory;
	unsigned int number;
	unsigned int seed;
	uint64_t mapped[SLOTS];		/* bytes in each slot */
	unsigned long done, failed;
};

static volatile int stop;

static void *work(void *context)
{
	struct worker *w = context;
	static const uint64_t sizes[] = { PAGE, 3 * PAGE, 64 * PAGE, LARGE, MEMORY, LARGE + PAGE };

	while (!stop) {
		unsigned int slot = rand_r(&w->seed) % SLOTS;
		uint64_t size = sizes[rand_r(&w->seed) % (sizeof(sizes) / sizeof(*sizes))];
		uint64_t iova = WINDOW(w->number, slot);

		if (w->mapped[slot]) {
			w->failed += !unmap(w->u, iova, w->mapped[slot]);
			w->mapped[slot] = 0;
		} else {
			w->failed += !!map(w->u, w->memory, iova, size);
			w->mapped[slot] = size;
		}
		w->done++;
	}
	return NULL;
}

static int all_reached(struct worker *w)
{
	unsigned int slot;
	uint64_t iova;

	for (slot = 0; slot < SLOTS; slot++) {
		uint64_t size = w->mapped[slot];

		iova = WINDOW(w->number, slot);
		if (size && !(lands(w->u, iova, (uint32_t *)w->memory) &&
			      lands(w->u, iova + size - 4, (uint32_t *)(w->memory + size - 4))))
			return 0;
		if (size < MEMORY && !refused(w->u, iova + size))
			return 0;
	}
	return 1;
}

static int all_undone(struct worker *w)
{
	unsigned int slot;

	for (slot = 0; slot < SLOTS; slot++) {
		uint64_t iova = WINDOW(w->number, slot);

		if (w->mapped[slot] && !unmap(w->u, iova, w->mapped[slot]))
			return 0;
		if (!refused(w->u, iova))
			return 0;
	}
	return 1;
}

/* The device writes concurrently; returns how often a result was wrong. */
static unsigned long watch(struct user *u, uint32_t *stays, unsigned long *looks)
{
	time_t end = time(NULL) + SECONDS;
	unsigned long wrong = 0;

	for (*looks = 0; time(NULL) < end; ++*looks) {
		wrong += !lands(u, STAYS, stays);
		wrong += !refused(u, NEVER);
	}
	return wrong;
}

int main(int argc, char **argv)
{
	static struct worker workers[THREADS];
	unsigned long wrong, looks, done = 0, failed = 0;
	int reached = 1, undone = 1;
	struct user u = { 0 };
	uint32_t *stays;
	unsigned int i;

	if (argc != 3) {
		fprintf(stderr, "usage: vfio_stress type1|iommufd BDF\n");
		return 2;
	}
	u.bdf = argv[2];
	stays = get_memory(PAGE);
	open_device(&u, argv[1]);
	open_bar(&u);
	if (map(&u, stays, STAYS, PAGE))
		die("mapping the page that stays");
	for (i = 0; i < THREADS; i++) {
		workers[i] = (struct worker) { .u = &u, .number = i, .seed = i + 1 };
		workers[i].memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE,
					 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE |
					 (i % 2 ? MAP_HUGETLB : 0), -1, 0);
		if (workers[i].memory == MAP_FAILED)
			die("memory");
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			die("a thread");
	}
	wrong = watch(&u, stays, &looks);
	stop = 1;
	for (i = 0; i < THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		done += workers[i].done;
		failed += workers[i].failed;
	}
	printf("note %lu requests, %lu checks\n", done, looks);
	claim(&u, done > 100 && !failed, "threads map and unmap concurrently, no request fails");
	claim(&u, looks > 10 && !wrong, "the device reaches only what stays mapped");
	for (i = 0; i < THREADS; i++)
		reached &= all_reached(&workers[i]);
	claim(&u, reached, "what is left mapped is reached to its last word, and no further");
	for (i = 0; i < THREADS; i++)
		undone &= all_undone(&workers[i]);
	claim(&u, undone && lands(&u, STAYS, stays), "all of it is unmapped, the rest stays");
	return u.failed;
}
