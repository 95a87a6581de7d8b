// SPDX-License-Identifier: GPL-2.0
/*
 * window - a QEMU TCG plugin that counts how often each instruction of the
 * guest's kernel is executed between two marks, and nothing else.
 *
 * The marks are no-ops with a number in the displacement (see
 * rust/bench/measure.rs), so that the guest needs no device to set them. At the end
 * the sum of each window, and then every address with its count in all windows, are
 * written to the file that the argument out= names.
 *
 * from= and until= are addresses of the kernel. With them, the window opens when
 * from is executed for the first time after the mark, or after the start with
 * boot=on, and closes when until is executed.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin.h"

#define EXPORT __attribute__((visibility("default")))

EXPORT int qemu_plugin_version = 7;	/* QEMU 11.1 */

#define OPEN		0x56544401u
#define CLOSE		0x56544402u
#define MARK_BYTES	8
#define KERNEL		(1ULL << 63)
#define SLOTS		(1u << 22)
#define WINDOWS		1024

/* One address. Slots are never freed, because translated code points at them. */
struct counter {
	uint64_t address;
	uint64_t count;
};

static struct counter *counters;
static struct plugin_u64 open_now;
static uint64_t windows, sums[WINDOWS];
static uint64_t from, until;	/* 0: the marks themselves are the window */
static bool armed;		/* the window opens when from is executed */
static char path[4096];

static struct counter *counter_of(uint64_t address)
{
	uint32_t slot = (address * 0x9e3779b97f4a7c15ULL) >> 42;
	uint32_t tries;

	for (tries = 0; tries < SLOTS; tries++, slot = (slot + 1) % SLOTS) {
		if (!counters[slot].address)
			counters[slot].address = address;
		if (counters[slot].address == address)
			return &counters[slot];
	}
	fprintf(stderr, "window: more than %u addresses\n", SLOTS);
	exit(1);
}

static void open_window(unsigned int vcpu)
{
	if (windows == WINDOWS) {
		fprintf(stderr, "window: more than %u windows\n", WINDOWS);
		exit(1);
	}
	windows++;
	qemu_plugin_u64_set(open_now, vcpu, 1);
}

static void on_open(unsigned int vcpu, void *data)
{
	(void)data;
	if (from)
		armed = true;
	else
		open_window(vcpu);
}

static void on_from(unsigned int vcpu, void *data)
{
	(void)data;
	if (armed)
		open_window(vcpu);
	armed = false;
}

static void on_close(unsigned int vcpu, void *data)
{
	(void)data;
	qemu_plugin_u64_set(open_now, vcpu, 0);
}

static void on_instruction(unsigned int vcpu, void *data)
{
	(void)vcpu;
	((struct counter *)data)->count++;
	sums[windows - 1]++;
}

/* Returns the number of a mark, or 0 for other instructions. */
static uint32_t mark_of(const struct qemu_plugin_insn *insn)
{
	static const uint8_t nop[] = { 0x0f, 0x1f, 0x84, 0x00 };
	uint8_t bytes[MARK_BYTES];
	uint32_t number;

	if (qemu_plugin_insn_data(insn, bytes, sizeof(bytes)) != sizeof(bytes) ||
	    memcmp(bytes, nop, sizeof(nop)))
		return 0;
	memcpy(&number, bytes + sizeof(nop), sizeof(number));
	return number;
}

static void on_translation(struct qemu_plugin_tb *tb, void *data)
{
	size_t i, n = qemu_plugin_tb_n_insns(tb);

	(void)data;
	for (i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		uint64_t address = qemu_plugin_insn_vaddr(insn);

		if (!(address & KERNEL))
			continue;
		if (from && address == from)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_from, NO_REGS, NULL);
		if (from && address == until)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_close, NO_REGS, NULL);
		switch (mark_of(insn)) {
		case OPEN:
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_open, NO_REGS, NULL);
			break;
		case CLOSE:
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_close, NO_REGS, NULL);
			break;
		default:
			qemu_plugin_register_vcpu_insn_exec_cond_cb(insn, on_instruction,
								    NO_REGS, COND_NE, open_now,
								    0, counter_of(address));
		}
	}
}

static void on_end(void)
{
	FILE *file = fopen(path, "w");
	uint32_t slot;

	if (!file) {
		perror(path);
		return;
	}
	for (slot = 0; slot < windows; slot++)
		fprintf(file, "window %lu\n", sums[slot]);
	for (slot = 0; slot < SLOTS; slot++)
		if (counters[slot].count)
			fprintf(file, "%016lx %lu\n", counters[slot].address,
				counters[slot].count);
	fclose(file);
}

static bool parse_argument(const char *argument)
{
	if (!strncmp(argument, "out=", 4))
		snprintf(path, sizeof(path), "%s", argument + 4);
	else if (!strncmp(argument, "from=", 5))
		from = strtoull(argument + 5, NULL, 16);
	else if (!strncmp(argument, "until=", 6))
		until = strtoull(argument + 6, NULL, 16);
	else if (!strcmp(argument, "boot=on"))
		armed = true;
	else
		return false;
	return true;
}

EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc,
			       char **argv)
{
	int i;

	(void)info;
	for (i = 0; i < argc; i++)
		if (!parse_argument(argv[i]))
			break;
	if (i < argc || !path[0] || !from != !until) {
		fprintf(stderr, "window: say out=FILE[,from=ADDRESS,until=ADDRESS[,boot=on]]\n");
		return -1;
	}
	counters = calloc(SLOTS, sizeof(*counters));
	if (!counters)
		return -1;
	open_now.score = qemu_plugin_scoreboard_new(sizeof(uint64_t));
	open_now.offset = 0;
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation, NULL);
	qemu_plugin_register_atexit_cb(id, on_end, NULL);
	return 0;
}
