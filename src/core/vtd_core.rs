// SPDX-License-Identifier: GPL-2.0

//! The part of the vtd driver that needs no kernel.
//!
//! Each result depends only on the arguments. The crate holds the types of the VT-d
//! specification, the parser of the ACPI DMAR table, the second-stage page table, the rules of
//! DMA ownership and the choice of invalidations. It never allocates, never panics and contains
//! no unsafe code. Kbuild compiles these files into `vtd.ko`, and cargo compiles the same files
//! into a host library, so all of it is tested without a machine that has a remapping unit.
//!
//! The modules form layers, and each layer uses only those before it: first [`spec`]; then
//! `describe`, `dmar`, `pgtable`, `ownership`, `invalidation`, `bring_up`, `protected_memory`,
//! `progress_timeout`, `fault_limit`, `interrupt_policy`, `relax_list`, `reserved_memory` and
//! `walk_request`, which do not use each other; then `install`, which uses `invalidation`,
//! `lockless`, which uses `invalidation` and `pgtable`, `compatibility`, which uses `pgtable`,
//! `quirks` and `ats_policy`, which use `dmar`, and `wired_interrupts`, which uses `dmar` and
//! `interrupt_policy`; `translation_mode`, which uses `compatibility`, and `concurrent`, which uses
//! `install`, `lockless`, `ownership` and `progress_timeout`.

// Kbuild already sets `no_std` for every module (`-Zcrate-attr`), and rustc warns about a
// second one.
#![cfg_attr(not(MODULE), no_std)]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod ats_policy;
pub mod bring_up;
pub mod compatibility;
pub mod concurrent;
pub mod describe;
pub mod dmar;
pub mod fault_limit;
pub mod install;
pub mod interrupt_policy;
pub mod invalidation;
pub mod lockless;
pub mod ownership;
pub mod pgtable;
pub mod progress_timeout;
pub mod protected_memory;
pub mod quirks;
pub mod relax_list;
pub mod reserved_memory;
pub mod spec;
pub mod translation_mode;
pub mod walk_request;
pub mod wired_interrupts;
