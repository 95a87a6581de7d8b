// SPDX-License-Identifier: GPL-2.0
/*
 * vfio_fuzz MODE BDF SEED MS USER [PHYS] - a hostile user of VFIO (type1) or of
 * iommufd with QEMU's iommu-testdev.
 *
 * Processes follow each other for MS milliseconds. In each, threads make random and
 * invalid requests for one device concurrently, close what other threads use and open
 * it again, and make the device write to random addresses, until the process is killed
 * at a random time. All of it is done by USER (0 stays root), who may lock little
 * memory. The requests of each thread follow from SEED, which is printed; their timing
 * does not.
 *
 * At PHYS is memory that the kernel does not use (memmap=...$...) and that is never
 * mapped: the device often writes there, and it must stay unchanged.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "vfio_fuzz.h"

#define THREADS		3
#define LIFE_MS		200	/* the longest time of a process after its start */
#define MOST_LOCKED	(8 * MIB)

static struct shared *shared;

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000UL + t.tv_nsec / 1000000;
}

static void *abuse(void *argument)
{
	struct fuzzer *f = argument;
	struct user *u = f->u;

	for (;;) {
		unsigned int op = pick(f, u->ioas ? OPS_IOMMUFD : OPS_TYPE1);
		int err = u->ioas ? ask_iommufd(f, op) : ask_type1(f, op);

		__atomic_fetch_add(&shared->asked, 1, __ATOMIC_RELAXED);
		if (!err)
			__atomic_fetch_add(&shared->granted[op], 1, __ATOMIC_RELAXED);
		if (pick(f, 64) == 0)
			send_device(f, &shared->sent);
	}
	return NULL;
}

/* Runs one process; does not return. */
static void live(const char *mode, const char *bdf, uint64_t seed)
{
	static struct fuzzer fuzzers[THREADS];
	static struct user u;
	pthread_t thread;
	unsigned int i;

	u.bdf = bdf;
	errno = try_open(&u, mode);
	if (errno)
		_exit(3);
	open_bar(&u);
	__atomic_fetch_add(&shared->opened, 1, __ATOMIC_RELAXED);
	for (i = 0; i < THREADS; i++) {
		fuzzers[i] = (struct fuzzer) {
			.u = &u, .random = seed + i + 1, .foreign = shared->foreign,
			.arena = get_memory(ARENA),
		};
		if (i && pthread_create(&thread, NULL, abuse, &fuzzers[i]))
			die("a thread");
	}
	__atomic_store_n(&shared->alive, 1, __ATOMIC_RELEASE);
	abuse(&fuzzers[0]);
}

static void become(unsigned int user)
{
	const struct rlimit limit = { MOST_LOCKED, MOST_LOCKED };

	if (setrlimit(RLIMIT_MEMLOCK, &limit))
		die("RLIMIT_MEMLOCK");
	if (user && (setgid(user) || setuid(user)))
		die("becoming an ordinary user");
	if (user && !setuid(0)) {
		fprintf(stderr, "root privileges could be regained\n");
		exit(2);
	}
}

/* Start one process and kill it; returns whether it had claimed its device. */
static int round_of(const char *mode, const char *bdf, uint64_t *random)
{
	uint64_t limit = now_ms() + 5000;
	int status;
	pid_t pid;

	shared->alive = 0;
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid)
		live(mode, bdf, next(random));
	next(random);
	while (!__atomic_load_n(&shared->alive, __ATOMIC_ACQUIRE) && now_ms() < limit &&
	       !waitpid(pid, &status, WNOHANG))
		usleep(1000);
	usleep(next(random) % (LIFE_MS * 1000));
	kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		shared->killed++;
	return shared->alive;
}

/* Memory that is never mapped for a device; processes do not inherit it. */
static volatile uint32_t *watch_memory(uint64_t phys)
{
	int fd = open("/dev/mem", O_RDWR | O_SYNC);
	volatile uint32_t *memory;
	unsigned long i;

	if (fd < 0)
		die("/dev/mem");
	memory = mmap(NULL, FOREIGN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, phys);
	if (memory == MAP_FAILED || madvise((void *)memory, FOREIGN, MADV_DONTFORK))
		die("mapping memory of no process");
	close(fd);
	for (i = 0; i < FOREIGN / sizeof(*memory); i++)
		memory[i] = i ^ UNTOUCHED;
	return memory;
}

static int is_untouched(volatile uint32_t *memory)
{
	unsigned long i;

	for (i = 0; i < FOREIGN / sizeof(*memory); i++)
		if (memory[i] != (i ^ UNTOUCHED)) {
			printf("note word %lu is %#x\n", i, memory[i]);
			return 0;
		}
	return 1;
}

int main(int argc, char **argv)
{
	unsigned long rounds = 0, empty = 0, maps, unmaps;
	volatile uint32_t *memory = NULL;
	uint64_t random, end;
	struct user u = { 0 };

	if (argc < 6) {
		fprintf(stderr, "usage: vfio_fuzz type1|iommufd BDF SEED MS USER [PHYS]\n");
		return 2;
	}
	random = strtoull(argv[3], NULL, 0) | 1;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		die("memory");
	if (argc > 6) {
		shared->foreign = strtoull(argv[6], NULL, 0);
		memory = watch_memory(shared->foreign);
	}
	become(atoi(argv[5]));
	printf("note vfio_fuzz %s %s %s %s %s\n", argv[1], argv[2], argv[3], argv[4], argv[5]);
	fflush(stdout);
	end = now_ms() + strtoul(argv[4], NULL, 0);
	do {
		empty += !round_of(argv[1], argv[2], &random);
		rounds++;
	} while (now_ms() < end);
	maps = shared->granted[OP_MAP];
	unmaps = shared->granted[OP_UNMAP];
	printf("note %lu processes, %lu had the device, %lu were killed\n", rounds, shared->opened,
	       shared->killed);
	printf("note %lu requests; granted: %lu maps, %lu unmaps, %lu others; %lu transfers\n",
	       shared->asked, maps, unmaps, others_granted(shared), shared->sent);
	claim(&u, shared->opened + empty >= rounds && shared->opened * 2 > rounds,
	      "the device can be claimed again after each kill");
	claim(&u, shared->killed * 2 > rounds, "most processes are killed during their work");
	claim(&u, maps > rounds && unmaps && others_granted(shared) && shared->sent > rounds,
	      "some requests are granted, and the device is used");
	claim(&u, !memory || is_untouched(memory), "memory of no process stays unchanged");
	return u.failed;
}
