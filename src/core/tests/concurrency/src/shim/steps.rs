// SPDX-License-Identifier: GPL-2.0

//! Counts the steps of the driver's files: loads and stores of a shared word, locks, accesses to a
//! vector, invalidations.

use std::cell::Cell;

thread_local! {
    static TAKEN: Cell<u64> = const { Cell::new(0) };
}

pub(crate) fn step() {
    TAKEN.set(TAKEN.get() + 1);
}

/// Returns how many steps `work` takes.
pub(crate) fn of(work: impl FnOnce()) -> u64 {
    let before = TAKEN.get();
    work();
    TAKEN.get() - before
}
