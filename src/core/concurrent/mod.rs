// SPDX-License-Identifier: GPL-2.0

//! What processors do concurrently, with a lock for some of the steps.
//!
//! A trait gives each file its lock, its memory and its registers, and the file has the order in
//! which they are used. As in [`lockless`](crate::lockless), the crate in
//! `src/core/tests/concurrency` compiles the same files with loom's atomics.

pub mod attach;
pub mod attachments;
pub mod domain_ids;
pub mod group_record;
pub mod interrupt_entries;
pub mod interrupts;
pub mod queue;
pub mod register_commands;

mod atomic {
    pub(super) use core::sync::atomic::{fence, Ordering};
}
