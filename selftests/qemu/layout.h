/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where things are in QEMU's executable and in its objects. Nothing is known beforehand: a word is
 * found by its value, or by the difference between two states of the same memory.
 */
#ifndef VTD_LAYOUT_H
#define VTD_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

/* The exit status for "this QEMU does not fit"; a wrong option ends QEMU with 1, as any other. */
#define EXIT_UNFIT 77

/* Not exit(): QEMU's own handlers would find it half set up. */
#define end(status, format, ...) do {						\
	fprintf(stderr, "vtd-unit: " format "\n", ##__VA_ARGS__);		\
	_exit(status);								\
} while (0)

/* Ends QEMU with one sentence: about what does not fit, or about what was requested wrongly. */
#define unfit(...) end(EXIT_UNFIT, __VA_ARGS__)
#define usage(...) end(1, __VA_ARGS__)

/* Finds the segments of the executable; before all of the following. */
void layout_init(void);

/* Whether an address is in the executable's code, or in any of its data. */
bool is_code(const void *address);
bool is_data(const void *address);

/* Returns the executable's data that can be written, with the length in words. */
void **writable_data(size_t *words);

/* Returns how many words an object on the heap has. */
size_t words_of(const void *object);

/* Returns the one word of an object on the heap that has this value. */
void **only_word(void *object, const void *value, const char *what);

/* Values of options; a wrong one ends QEMU. */
uint64_t parse_number(const char *name, const char *value, uint64_t most);
bool parse_switch(const char *name, const char *value);

#endif
