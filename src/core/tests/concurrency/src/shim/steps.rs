// SPDX-License-Identifier: GPL-2.0

//! What the driver's files do, counted: loads and stores of a word that is shared, locks,
//! looks into a vector, invalidations.

use std::cell::Cell;

thread_local! {
    static TAKEN: Cell<u64> = const { Cell::new(0) };
}

pub(crate) fn step() {
    TAKEN.set(TAKEN.get() + 1);
}

/// How many steps `work` takes.
pub(crate) fn of(work: impl FnOnce()) -> u64 {
    let before = TAKEN.get();
    work();
    TAKEN.get() - before
}
