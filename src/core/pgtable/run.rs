// SPDX-License-Identifier: GPL-2.0

//! Runs of leaves: the loops where large requests spend their time.
//!
//! For implementations of [`TableMemory`](super::TableMemory), which know where a table's
//! entries are. Relaxed atomics: hardware reads the entries meanwhile, and each must be seen
//! whole; on x86 they are plain moves.

use super::level::TableLevel;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Writes leaves of level `L` into `entries` until one is not 0. Returns how many were written.
///
/// The first is `entry` with [`TableLevel::LEAF_MARK`], each further one [`TableLevel::SPAN`] more.
#[inline(always)]
pub fn fill_run<L: TableLevel>(entries: &[AtomicU64], entry: u64) -> usize {
    let mut value = entry | L::LEAF_MARK;
    for (done, slot) in entries.iter().enumerate() {
        if slot.load(Relaxed) != 0 {
            return done;
        }
        slot.store(value, Relaxed);
        value = value.wrapping_add(L::SPAN);
    }
    entries.len()
}

/// Sets `entries` of a table of level `L` to 0 until one is no leaf. Returns how many were cleared.
#[inline(always)]
pub fn clear_run<L: TableLevel>(entries: &[AtomicU64]) -> usize {
    for (done, slot) in entries.iter().enumerate() {
        if !is_leaf::<L>(slot.load(Relaxed)) {
            return done;
        }
        slot.store(0, Relaxed);
    }
    entries.len()
}

/// Whether an entry of a table of level `L` is a leaf, given that it is 0, a leaf or a link.
#[inline(always)]
pub fn is_leaf<L: TableLevel>(entry: u64) -> bool {
    match L::LEAF_MARK {
        0 => entry != 0,
        mark => entry & mark != 0,
    }
}
