// SPDX-License-Identifier: GPL-2.0
/*
 * raw_dma BDF ADDRESS PHYS [TIMES] - make QEMU's edu or iommu-testdev write one word to
 * ADDRESS, with any driver of the device or none, and check whether it arrived at
 * physical address PHYS. Prints "landed" or "refused"; the exit status is 0 for either
 * and 2 if it could not be tried.
 *
 * PHYS has to be memory that the kernel does not use (memmap=...$...). Instead of BDF it
 * may be testdev@ADDRESS or edu@ADDRESS, with the address of its registers: a device that
 * the kernel does not know. With TIMES it writes that many times, with a pause in which
 * the unit's driver can read each fault.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PCI_COMMAND	0x04
#define COMMAND_ON	0x06	/* memory space and bus mastering */
#define PAGE		4096UL
#define UNWRITTEN	0xffffffffu

#define TESTDEV		0x00051b36u
#define EDU		0x11e81234u

#define TESTDEV_FIRE	(0x00 / 4)
#define TESTDEV_IOVA_LO	(0x04 / 4)
#define TESTDEV_IOVA_HI	(0x08 / 4)
#define TESTDEV_LEN	(0x0c / 4)
#define TESTDEV_RESULT	(0x10 / 4)
#define TESTDEV_ARM	(0x14 / 4)
#define TESTDEV_PHYS_LO	(0x1c / 4)
#define TESTDEV_PHYS_HI	(0x20 / 4)
#define TESTDEV_BUSY	0xfffffffeu

#define EDU_SRC		(0x80 / 4)
#define EDU_DST		(0x88 / 4)
#define EDU_COUNT	(0x90 / 4)
#define EDU_CMD		(0x98 / 4)
#define EDU_TO_HOST	3
#define EDU_BUFFER	0x40000
#define PAUSE_NS	100000

#define EDU_TRIES	1000	/* of 2 ms; a transfer takes 100 ms */

static void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(2);
}

static int open_of(const char *bdf, const char *file)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", bdf, file);
	fd = open(path, O_RDWR | O_SYNC);
	if (fd < 0)
		die(path);
	return fd;
}

static volatile uint32_t *map_page(int fd, off_t offset, const char *what)
{
	void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);

	if (page == MAP_FAILED)
		die(what);
	return page;
}

static void turn_on(const char *bdf)
{
	uint16_t command = 0;
	int fd = open_of(bdf, "config");

	if (pread(fd, &command, sizeof(command), PCI_COMMAND) != sizeof(command))
		die("reading the command register");
	command |= COMMAND_ON;
	if (pwrite(fd, &command, sizeof(command), PCI_COMMAND) != sizeof(command))
		die("writing the command register");
	close(fd);
}

static void testdev_write(volatile uint32_t *bar, uint64_t address, uint64_t phys)
{
	bar[TESTDEV_IOVA_LO] = address;
	bar[TESTDEV_IOVA_HI] = address >> 32;
	bar[TESTDEV_PHYS_LO] = phys;
	bar[TESTDEV_PHYS_HI] = phys >> 32;
	bar[TESTDEV_LEN] = sizeof(uint32_t);
	bar[TESTDEV_ARM] = 1;
	(void)bar[TESTDEV_FIRE];
	if (bar[TESTDEV_RESULT] == TESTDEV_BUSY) {
		errno = ETIMEDOUT;
		die("the device");
	}
}

static void edu_write(volatile uint32_t *bar, uint64_t address)
{
	const struct timespec wait = { .tv_nsec = 2000000 };
	int tries;

	*(volatile uint64_t *)&bar[EDU_SRC] = EDU_BUFFER;
	*(volatile uint64_t *)&bar[EDU_DST] = address;
	*(volatile uint64_t *)&bar[EDU_COUNT] = sizeof(uint32_t);
	*(volatile uint64_t *)&bar[EDU_CMD] = EDU_TO_HOST;
	for (tries = 0; bar[EDU_CMD] & 1; tries++) {
		if (tries == EDU_TRIES) {
			errno = ETIMEDOUT;
			die("the device");
		}
		nanosleep(&wait, NULL);
	}
}

static uint32_t identity_of(const char *bdf)
{
	uint32_t id = 0;
	int fd = open_of(bdf, "config");

	if (pread(fd, &id, sizeof(id), 0) != sizeof(id))
		die("reading the device's identity");
	close(fd);
	return id;
}

static void write_once(uint32_t id, volatile uint32_t *bar, uint64_t address, uint64_t phys)
{
	if (id == TESTDEV)
		testdev_write(bar, address, phys);
	else
		edu_write(bar, address);
}

int main(int argc, char **argv)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	volatile uint32_t *bar, *word;
	uint64_t address, phys;
	uint32_t id = TESTDEV;
	long times = 1;
	int fd;

	if (argc != 4 && argc != 5) {
		fprintf(stderr, "usage: raw_dma BDF ADDRESS PHYS [TIMES]\n");
		return 2;
	}
	address = strtoull(argv[2], NULL, 0);
	phys = strtoull(argv[3], NULL, 0);
	if (argc == 5)
		times = strtol(argv[4], NULL, 0);
	fd = open("/dev/mem", O_RDWR | O_SYNC);
	if (fd < 0)
		die("/dev/mem");
	word = map_page(fd, phys & ~(PAGE - 1), "memory") + phys % PAGE / sizeof(*word);
	if (!strncmp(argv[1], "testdev@", 8)) {
		bar = map_page(fd, strtoull(argv[1] + 8, NULL, 0), "registers");
	} else if (!strncmp(argv[1], "edu@", 4)) {
		bar = map_page(fd, strtoull(argv[1] + 4, NULL, 0), "registers");
		id = EDU;
	} else {
		id = identity_of(argv[1]);
		turn_on(argv[1]);
		bar = map_page(open_of(argv[1], "resource0"), 0, "resource0");
	}

	*word = UNWRITTEN;
	if (id != TESTDEV && id != EDU) {
		fprintf(stderr, "%s is neither edu nor iommu-testdev\n", argv[1]);
		return 2;
	}
	write_once(id, bar, address, phys);
	while (--times > 0 && *word == UNWRITTEN) {
		nanosleep(&pause, NULL);
		write_once(id, bar, address, phys);
	}
	puts(*word == UNWRITTEN ? "refused" : "landed");
	return 0;
}
