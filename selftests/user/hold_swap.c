// SPDX-License-Identifier: GPL-2.0
/*
 * hold_swap MIB: writes that much memory, more than there is, and reads it. Prints "ok" and
 * returns 0, or one line that says what was wrong.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

int main(int argc, char **argv)
{
	size_t len = argc > 1 ? strtoul(argv[1], NULL, 10) << 20 : 0;
	char *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED) {
		printf("%zu bytes cannot be mapped\n", len);
		return 2;
	}
	/* In words that no compression makes much smaller. */
	for (uint64_t i = 0; i < len / sizeof(uint64_t); i++)
		((uint64_t *)at)[i] = i * 0x9e3779b97f4a7c15ULL;
	/* From the end, where it is still in memory: otherwise all of it would be swapped again. */
	for (uint64_t i = len / sizeof(uint64_t); i-- > 0;) {
		if (((uint64_t *)at)[i] != i * 0x9e3779b97f4a7c15ULL) {
			printf("word %llu is wrong\n", (unsigned long long)i);
			return 1;
		}
	}
	printf("ok\n");
	return 0;
}
