// SPDX-License-Identifier: GPL-2.0
/*
 * raw_sweep BRIDGE BASE ADDRESS FIRST LAST ROUNDS - make the iommu-testdev whose
 * registers are at BASE, behind a bridge from PCI Express to a conventional bus,
 * write to ADDRESS under many requester IDs. The bridge forwards requests from below
 * with its secondary bus number, which is set to each of FIRST to LAST. The previous
 * numbers are restored. The kernel must have removed everything below the bridge.
 */
#include <time.h>

#include "vfio_user.h"

#define SECONDARY_BUS	0x19	/* and the subordinate one behind it */

int main(int argc, char **argv)
{
	/* The pause lets the unit's driver read each fault. */
	const struct timespec pause = { .tv_nsec = 300000 };
	long bus, first, last, rounds, writes = 0, refusals = 0;
	struct user testdev = { 0 };
	uint8_t before[2], now[2];
	uint64_t address;
	char path[128];
	int bridge, fd;

	if (argc != 7) {
		fprintf(stderr, "usage: raw_sweep BRIDGE BASE ADDRESS FIRST LAST ROUNDS\n");
		return 2;
	}
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", argv[1]);
	bridge = open(path, O_RDWR);
	if (bridge < 0 || pread(bridge, before, 2, SECONDARY_BUS) != 2)
		die(path);
	fd = open("/dev/mem", O_RDWR | O_SYNC);
	testdev.bar = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			   strtoull(argv[2], NULL, 0));
	if (testdev.bar == MAP_FAILED)
		die("registers");
	address = strtoull(argv[3], NULL, 0);
	first = strtol(argv[4], NULL, 0);
	last = strtol(argv[5], NULL, 0);
	for (rounds = strtol(argv[6], NULL, 0); rounds > 0; rounds--)
		for (bus = first; bus <= last; bus++, writes++) {
			now[0] = bus;
			now[1] = bus;
			if (pwrite(bridge, now, 2, SECONDARY_BUS) != 2)
				die("bus numbers");
			refusals += refused(&testdev, address);
			nanosleep(&pause, NULL);
		}
	if (pwrite(bridge, before, 2, SECONDARY_BUS) != 2)
		die("bus numbers");
	printf("%ld of %ld writes refused\n", refusals, writes);
	return !writes || refusals != writes;
}
