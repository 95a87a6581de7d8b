// SPDX-License-Identifier: GPL-2.0

//! The readers of a domain's tables ([`vtd_core::lockless::readers`]), with their lock.
//!
//! # Locks
//!
//! `lock` is held while a part is walked, and taken to wait for its end. Nothing is taken in it.

use kernel::prelude::*;
use kernel_ext::lock::IrqSpinLock;
use vtd_core::lockless::readers;

/// The readers of the tables of one domain.
#[pin_data]
pub(crate) struct Readers {
    state: readers::Readers,
    #[pin]
    lock: IrqSpinLock<()>,
}

impl Readers {
    /// Creates the state, without a reader.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            state: readers::Readers::new(),
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
        self.lock.with(|()| self.state.walk(part))
    }

    /// Waits until no reader can be in a table that the caller has unlinked. Called before such a
    /// table can be freed.
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn wait(&self) {
        self.state.wait(|| self.lock.with(|()| ()))
    }
}
