/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The part of QEMU's plugin interface, version 7 (QEMU 11.1), that window.c uses:
 * Debian's QEMU loads plugins but is packaged without the header.
 */
#ifndef VTD_PLUGIN_H
#define VTD_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_scoreboard;

/* A number for each virtual CPU, in a scoreboard. */
struct plugin_u64 {
	struct qemu_plugin_scoreboard *score;
	size_t offset;
};

enum { COND_NE = 3 };	/* of enum qemu_plugin_cond */
enum { NO_REGS = 0 };	/* of enum qemu_plugin_cb_flags */

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id,
					   void (*cb)(struct qemu_plugin_tb *tb, void *data),
					   void *data);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
					    void (*cb)(unsigned int vcpu, void *data),
					    int flags, void *data);
void qemu_plugin_register_vcpu_insn_exec_cond_cb(struct qemu_plugin_insn *insn,
						 void (*cb)(unsigned int vcpu, void *data),
						 int flags, int cond, struct plugin_u64 entry,
						 uint64_t imm, void *data);
void qemu_plugin_register_atexit_cb(uint64_t id, void (*cb)(void), void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *dest, size_t len);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t element);
void qemu_plugin_u64_set(struct plugin_u64 entry, unsigned int vcpu, uint64_t value);

#endif /* VTD_PLUGIN_H */
