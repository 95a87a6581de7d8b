// SPDX-License-Identifier: GPL-2.0
/*
 * hold_direct DISK SECONDS [huge]: O_DIRECT writes and reads of a disk, from anonymous memory,
 * while children are forked that write to the same memory. What was read must be what was written,
 * in the parent, whatever the children do. The memory is of huge pages that are reserved (huge), or
 * of transparent ones where the kernel has them.
 *
 * Prints "ok blocks=N forks=N huge-kb=N" and returns 0, or one line that says what was wrong.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LEN	(4UL << 20)
#define HUGE	(2UL << 20)
/* Requests of one page, which are one mapping each, and of several. */
#define PAGE	4096UL
#define LARGE	(64UL << 10)

static uint64_t *written, *read_back;
static volatile int stop;
static unsigned long forks;

static void fails(const char *what)
{
	printf("%s: %s\n", what, strerror(errno));
	exit(1);
}

/* Children write to each page, of which they have copies. */
static void *fork_on(void *unused)
{
	(void)unused;
	while (!stop) {
		pid_t child = fork();
		int status;

		if (child < 0)
			fails("fork");
		if (!child) {
			for (size_t at = 0; at < LEN; at += PAGE) {
				written[at / sizeof(uint64_t)] = ~0ULL;
				read_back[at / sizeof(uint64_t)] = ~0ULL;
			}
			_exit(0);
		}
		if (waitpid(child, &status, 0) != child || status)
			fails("a child");
		forks++;
	}
	return NULL;
}

static uint64_t *memory(int huge)
{
	char *at;

	if (huge) {
		at = mmap(NULL, LEN, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
		if (at == MAP_FAILED)
			fails("huge pages");
		return (uint64_t *)at;
	}
	at = mmap(NULL, LEN + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		fails("memory");
	at = (char *)(((uintptr_t)at + HUGE - 1) & ~(HUGE - 1));
	/* Fails on a kernel without transparent huge pages, which is no error. */
	madvise(at, LEN, MADV_HUGEPAGE);
	return (uint64_t *)at;
}

/* Takes new memory, because transparent huge pages are split once both of a fork have written. */
static void renew(uint64_t *at, int huge)
{
	/* Reserved huge pages stay whole, and might be gone. */
	if (!huge && madvise(at, LEN, MADV_DONTNEED))
		fails("new memory");
	memset(at, 1, LEN);
}

/* Returns how much of the process's memory are huge pages, in KiB; 0 if the kernel does not say. */
static unsigned long huge_kb(void)
{
	FILE *maps = fopen("/proc/self/smaps", "r");
	unsigned long kb, sum = 0;
	char line[256];

	if (!maps)
		return 0;
	while (fgets(line, sizeof(line), maps))
		if (sscanf(line, "AnonHugePages: %lu kB", &kb) == 1 ||
		    sscanf(line, "Private_Hugetlb: %lu kB", &kb) == 1)
			sum += kb;
	fclose(maps);
	return sum;
}

/* Writes a block and reads it back. */
static void block(int disk, uint64_t round, size_t at, size_t len)
{
	size_t first = at / sizeof(uint64_t), count = len / sizeof(uint64_t);

	for (size_t i = first; i < first + count; i++) {
		written[i] = round << 32 | i;
		read_back[i] = 0;
	}
	if (pwrite(disk, written + first, len, at) != (ssize_t)len)
		fails("write");
	if (pread(disk, read_back + first, len, at) != (ssize_t)len)
		fails("read");
	for (size_t i = first; i < first + count; i++) {
		unsigned long long is = read_back[i], was = round << 32 | i;

		if (is != was) {
			printf("word %zu is %#llx, not %#llx\n", i, is, was);
			exit(1);
		}
	}
}

int main(int argc, char **argv)
{
	unsigned long blocks = 0, most = 0;
	pthread_t forker;
	time_t end;
	int disk;

	if (argc < 3) {
		fprintf(stderr, "usage: hold_direct DISK SECONDS [huge]\n");
		return 2;
	}
	disk = open(argv[1], O_RDWR | O_DIRECT);
	if (disk < 0)
		fails(argv[1]);
	written = memory(argc > 3);
	read_back = memory(argc > 3);
	if (pthread_create(&forker, NULL, fork_on, NULL))
		fails("a thread");
	end = time(NULL) + atoi(argv[2]);
	for (uint64_t round = 1; time(NULL) < end; round++) {
		size_t len = round % 2 ? PAGE : LARGE;
		size_t at = round * LARGE % LEN;

		if (round % 32 == 1) {
			unsigned long kb;

			renew(written, argc > 3);
			renew(read_back, argc > 3);
			kb = huge_kb();
			most = kb > most ? kb : most;
		}
		block(disk, round, at, len);
		blocks++;
	}
	stop = 1;
	pthread_join(forker, NULL);
	if (!blocks || !forks) {
		printf("%lu blocks, %lu forks: nothing was tested\n", blocks, forks);
		return 1;
	}
	printf("ok blocks=%lu forks=%lu huge-kb=%lu\n", blocks, forks, most);
	return 0;
}
