// SPDX-License-Identifier: GPL-2.0

//! Loom treats a store with SeqCst as a release. On x86 it is an exchange, which is a full barrier,
//! and so is every read-modify-write. The driver relies on that.

use super::steps::step;
pub(crate) use loom::sync::atomic::{fence, AtomicBool, AtomicU64, AtomicU8, Ordering};

pub(crate) struct AtomicU32(loom::sync::atomic::AtomicU32);

impl AtomicU32 {
    pub(crate) fn new(value: u32) -> Self {
        Self(loom::sync::atomic::AtomicU32::new(value))
    }

    pub(crate) fn load(&self, order: Ordering) -> u32 {
        step();
        self.0.load(order)
    }

    pub(crate) fn store(&self, value: u32, order: Ordering) {
        step();
        self.0.store(value, order);
        barrier(order);
    }

    pub(crate) fn fetch_add(&self, value: u32, order: Ordering) -> u32 {
        step();
        let before = self.0.fetch_add(value, order);
        barrier(order);
        before
    }

    pub(crate) fn fetch_sub(&self, value: u32, order: Ordering) -> u32 {
        step();
        let before = self.0.fetch_sub(value, order);
        barrier(order);
        before
    }
}

/// A word with the same barriers, for the files of `src/core/lockless`.
pub(crate) struct LocklessU64(loom::sync::atomic::AtomicU64);

impl LocklessU64 {
    pub(crate) fn new(value: u64) -> Self {
        Self(loom::sync::atomic::AtomicU64::new(value))
    }

    pub(crate) fn load(&self, order: Ordering) -> u64 {
        step();
        self.0.load(order)
    }

    pub(crate) fn store(&self, value: u64, order: Ordering) {
        step();
        self.0.store(value, order);
        barrier(order);
    }

    pub(crate) fn compare_exchange(
        &self,
        old: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        self.0.compare_exchange(old, new, success, failure)
    }

    pub(crate) fn fetch_or(&self, value: u64, order: Ordering) -> u64 {
        self.0.fetch_or(value, order)
    }

    pub(crate) fn swap(&self, value: u64, order: Ordering) -> u64 {
        self.0.swap(value, order)
    }
}

fn barrier(order: Ordering) {
    if order == Ordering::SeqCst {
        fence(Ordering::SeqCst);
    }
}
