// SPDX-License-Identifier: GPL-2.0

//! Readers: reports that walk a domain's tables concurrently with maps and unmaps.
//!
//! A map or unmap holds its range, and a table is freed only by a thread that holds the whole range
//! of the table. A report holds no range, so a table that it walks may be unlinked and freed
//! concurrently. Therefore a report walks in short parts and begins each part at the top table, and
//! a thread that has unlinked a table waits for the end of the current part before the table can be
//! freed. A part that begins later does not find the table any more. Unmaps that free no table pay
//! nothing; those that do pay one fence and one load.
//!
//! # Locks
//!
//! `part` is held while a part is walked, and taken to wait for its end. Nothing is taken in it.

use core::sync::atomic::{fence, AtomicBool, Ordering};
use kernel::prelude::*;
use kernel_ext::lock::IrqSpinLock;

/// The readers of the tables of one domain.
#[pin_data]
pub(crate) struct Readers {
    walking: AtomicBool,
    #[pin]
    lock: IrqSpinLock<()>,
}

impl Readers {
    /// Creates the state, without a reader.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            walking: AtomicBool::new(false),
            lock <- kernel_ext::new_irq_spinlock!((), c"vtd domain readers"),
        })
    }

    /// Calls `part`, which walks a bounded number of tables from the top on. No table that it can
    /// find is freed before it returns.
    ///
    /// # Context
    ///
    /// Any context; `part` runs with interrupts off.
    pub(crate) fn walk<R>(&self, part: impl FnOnce() -> R) -> R {
        self.lock.with(|()| {
            self.walking.store(true, Ordering::Relaxed);
            // Either this walk sees what was unlinked before `wait`, or `wait` sees this walk.
            fence(Ordering::SeqCst);
            let result = part();
            self.walking.store(false, Ordering::Release);
            result
        })
    }

    /// Waits until no reader can be in a table that the caller has unlinked. Called before such a
    /// table can be freed.
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn wait(&self) {
        fence(Ordering::SeqCst);
        if self.walking.load(Ordering::Acquire) {
            self.lock.with(|()| ());
        }
    }
}
