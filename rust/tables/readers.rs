// SPDX-License-Identifier: GPL-2.0

//! Reports that walk a domain's tables while others map and unmap.
//!
//! Whoever maps or unmaps holds its range, and nobody frees a table of a range that another one
//! holds. A report holds no range, and a table that it is in may be unlinked and freed. So a
//! report walks in short parts and begins each at the top; and who has unlinked a table lets the
//! part that is being walked end before the table can be freed. A part that begins later does not
//! find the table any more. Who frees no table pays nothing, who does a fence and a load.
//!
//! # Locks
//!
//! `part` is held while a part is walked, and taken to wait for its end. Nothing is taken in it.

use core::sync::atomic::{fence, AtomicBool, Ordering};
use kernel::prelude::*;
use kernel_ext::lock::IrqSpinLock;

/// Who reads the tables of one domain.
#[pin_data]
pub(crate) struct Readers {
    walking: AtomicBool,
    #[pin]
    lock: IrqSpinLock<()>,
}

impl Readers {
    /// Creates one without a walk.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            walking: AtomicBool::new(false),
            lock <- kernel_ext::new_irq_spinlock!((), c"vtd domain readers"),
        })
    }

    /// Calls `part`, which walks tables from the top on, a bounded number of them. No table that it
    /// may find is freed meanwhile. Any context; `part` runs with interrupts off.
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

    /// To be called after tables were unlinked, before they can be freed: returns when no walk can
    /// be in them. Any context.
    pub(crate) fn wait(&self) {
        fence(Ordering::SeqCst);
        if self.walking.load(Ordering::Acquire) {
            self.lock.with(|()| ());
        }
    }
}
