// SPDX-License-Identifier: GPL-2.0
/*
 * hold_swap MIB: writes that much memory, more than there is, and reads it twice. Prints "ok" and
 * returns 0, or one line that says what was wrong.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PAGE	4096UL

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
	for (int pass = 0; pass < 2; pass++) {
		for (size_t page = 0; page < len; page += PAGE) {
			const uint64_t *words = (const uint64_t *)(at + page);

			for (size_t i = 0; i < PAGE / sizeof(uint64_t); i++) {
				uint64_t number = page / sizeof(uint64_t) + i;

				if (words[i] != number * 0x9e3779b97f4a7c15ULL) {
					printf("pass %d: word %llu is wrong\n", pass,
					       (unsigned long long)number);
					return 1;
				}
			}
		}
	}
	printf("ok\n");
	return 0;
}
