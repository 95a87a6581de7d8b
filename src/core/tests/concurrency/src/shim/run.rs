// SPDX-License-Identifier: GPL-2.0

//! Runs of entries without the store loops of vtd_core.

use super::atomic::{LocklessU64 as AtomicU64, Ordering::Relaxed};
use vtd_core::pgtable::format::leaf_mark;
use vtd_core::pgtable::run::is_leaf;
use vtd_core::pgtable::{Format, TableLevel};

pub(crate) fn fill_run<F: Format, L: TableLevel>(entries: &[AtomicU64], entry: u64) -> usize {
    let empty = entries
        .iter()
        .take_while(|slot| slot.load(Relaxed) == 0)
        .count();
    for (slot, number) in entries[..empty].iter().zip(0..) {
        slot.store((entry | leaf_mark::<F, L>()) + number * L::SPAN, Relaxed);
    }
    empty
}

pub(crate) fn clear_run<F: Format, L: TableLevel>(entries: &[AtomicU64]) -> usize {
    let leaves = entries
        .iter()
        .take_while(|slot| is_leaf::<F, L>(slot.load(Relaxed)))
        .count();
    entries[..leaves]
        .iter()
        .for_each(|slot| slot.store(0, Relaxed));
    leaves
}
