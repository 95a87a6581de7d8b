// SPDX-License-Identifier: GPL-2.0

//! Invalidates what the unit has cached of its interrupt remapping table. Only the queue can do
//! that.

use crate::unit::Unit;
use core::cell::Cell;
use kernel::prelude::*;
use kernel_ext::clock;
use vtd_core::concurrent::queue::InvalidationQueue;
use vtd_core::lockless::unit_state::UnitState;
use vtd_core::spec::invalidation::{InterruptScope, Invalidation};

/// Up to this many entries are invalidated one by one. A device with conventional MSI has no more.
const ONE_BY_ONE: usize = 32;

impl Unit {
    /// Invalidates `count` interrupt entries from `first`, and waits until hardware has confirmed
    /// it.
    ///
    /// # Errors
    ///
    /// [`EIO`]: the unit has failed. Every requester behind it is blocked, and so are its
    /// interrupts.
    ///
    /// # Context
    ///
    /// Any context, also with the lock of an interrupt descriptor held.
    pub(in crate::unit) fn invalidate_interrupts(&self, first: usize, count: usize) -> Result {
        match self.state() {
            UnitState::Enabled => {}
            UnitState::Failed => return Err(EIO),
            // Nothing is remapped, so no cache can be stale.
            UnitState::Disabled => return Ok(()),
        }
        let Some(queue) = self.invalidator.queue.as_deref() else {
            return Ok(());
        };
        let one_by_one = count <= ONE_BY_ONE;
        let descriptors = (0..if one_by_one { count } else { 1 }).map(|number| {
            let entries = Invalidation::InterruptEntries(if one_by_one {
                InterruptScope::Entries {
                    index: (first + number) as u16,
                    mask: 0,
                }
            } else {
                InterruptScope::Global
            });
            self.invalidator.encoder.encode(entries)
        });
        let many = descriptors.len() as u64;
        let submitted = Cell::new(false);
        let start = clock::now_ns();
        let done = queue.submit(&self.regs, descriptors, || {
            submitted.set(true);
            self.stats.count_interrupt_entries(many);
        });
        if submitted.get() {
            self.stats.waits.count_since(start);
        }
        done.map_err(|failure| {
            self.fail(&failure);
            EIO
        })
    }
}
