// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <link.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "layout.h"

struct range {
	uintptr_t from, to;
};

static struct range image, code, writable;

static void widen(struct range *range, uintptr_t from, uintptr_t to)
{
	if (!range->to || from < range->from)
		range->from = from;
	if (to > range->to)
		range->to = to;
}

/* The first object that is reported is the executable. */
static int take_executable(struct dl_phdr_info *info, size_t size, void *data)
{
	for (int i = 0; i < info->dlpi_phnum; i++) {
		__auto_type header = &info->dlpi_phdr[i];
		uintptr_t from = info->dlpi_addr + header->p_vaddr;
		uintptr_t to = from + header->p_memsz;

		if (header->p_type != PT_LOAD)
			continue;
		widen(&image, from, to);
		if (header->p_flags & PF_X)
			widen(&code, from, to);
		if (header->p_flags & PF_W)
			widen(&writable, from, to);
	}
	return 1;
}

void layout_init(void)
{
	dl_iterate_phdr(take_executable, NULL);
	if (!code.to || !writable.to)
		unfit("the executable has no segment of code or of data");
	writable.from = (writable.from + sizeof(void *) - 1) & -sizeof(void *);
}

static bool within(const struct range *range, const void *address)
{
	return (uintptr_t)address >= range->from && (uintptr_t)address < range->to;
}

bool is_code(const void *address)
{
	return within(&code, address);
}

bool is_data(const void *address)
{
	return within(&image, address) && !is_code(address);
}

void **writable_data(size_t *words)
{
	*words = (writable.to - writable.from) / sizeof(void *);
	return (void **)writable.from;
}

size_t words_of(const void *object)
{
	return malloc_usable_size((void *)object) / sizeof(void *);
}

void **only_word(void *object, const void *value, const char *what)
{
	void **words = object, **found = NULL;

	for (size_t i = 0; i < words_of(object); i++) {
		if (words[i] != value)
			continue;
		if (found)
			unfit("%s has the unit in more than one word", what);
		found = &words[i];
	}
	if (!found)
		unfit("%s has the unit in no word", what);
	return found;
}

uint64_t parse_number(const char *name, const char *value, uint64_t most)
{
	char *end;
	uint64_t number = strtoull(value, &end, 0);

	if (!*value || *end || number > most)
		usage("%s=%s is no number up to 0x%llx", name, value, (unsigned long long)most);
	return number;
}

bool parse_switch(const char *name, const char *value)
{
	if (strcmp(value, "on") && strcmp(value, "off"))
		usage("%s=%s is neither on nor off", name, value);
	return !strcmp(value, "on");
}
