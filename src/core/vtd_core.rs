// SPDX-License-Identifier: GPL-2.0

//! The part of the vtd driver that needs no kernel.
//!
//! What stands here is computed from its arguments alone: the types of the
//! VT-d specification, the parser of the ACPI DMAR table, the second-stage page
//! table, the rules of DMA ownership and the choice of invalidations. It never
//! allocates, never panics and contains no unsafe code. The same files are
//! compiled into `vtd.ko` by Kbuild and into a host library by cargo, so that
//! everything in here is tested without a machine that has a remapping unit.
//!
//! Layers, each using only what stands before it: [`spec`], then `describe`, `dmar`, `pgtable`,
//! `ownership`, `invalidation`, `bring_up`, `protected_memory`, `patience`, `fault_limit` and
//! `walk_request`, which do not use each other, then `install`, and `quirks`, which uses `dmar`.

// Kbuild already says `no_std` for every module (`-Zcrate-attr`), and rustc
// warns when it is said twice.
#![cfg_attr(not(MODULE), no_std)]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod bring_up;
pub mod compatibility;
pub mod describe;
pub mod dmar;
pub mod fault_limit;
pub mod install;
pub mod invalidation;
pub mod ownership;
pub mod pgtable;
pub mod progress_timeout;
pub mod protected_memory;
pub mod quirks;
pub mod spec;
pub mod walk_request;
