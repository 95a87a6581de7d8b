// SPDX-License-Identifier: GPL-2.0

//! What processors do concurrently without a lock.
//!
//! Each file takes its atomics from `super::atomic`. Here they are the processor's. The crate in
//! `src/core/tests/concurrency` compiles the same files with loom's, which try every order of the
//! loads and stores.

pub mod device_tlb;
pub mod flush_list;
pub mod links;
pub mod readers;
pub mod unit_state;

mod atomic {
    pub(super) use core::sync::atomic::{
        fence, AtomicBool, AtomicU32, AtomicU64, AtomicU8, Ordering,
    };
}
