// SPDX-License-Identifier: GPL-2.0

//! Failing a unit: every requester behind it is blocked, for good.

use super::fault_injection::{WITHOUT_QUEUE, WITHOUT_REGISTERS, WITHOUT_ROOT_TABLE};
use super::invalidation::{Invalidated, InvalidationPaths};
use super::state::UnitState;
use super::Unit;
use core::fmt;
use core::sync::atomic::Ordering;
use kernel_ext::{log_emerg, log_err};

impl Unit {
    /// Fails the unit: blocks every requester, invalidates all caches and logs `failure`. A caller
    /// that comes second returns when all requesters are blocked.
    ///
    /// # Context
    ///
    /// Any context.
    pub(super) fn fail(&self, failure: &dyn fmt::Display) {
        // Interrupts are off: a handler that unmaps on this CPU would wait for this function for
        // ever.
        let invalidated = self.failing.with(|()| {
            if !self.state.begin_failing() {
                return None;
            }
            let invalidated = self.block_all();
            if invalidated != Invalidated::All {
                self.may_still_reach.store(true, Ordering::Relaxed);
            }
            self.state.end_failing();
            Some(invalidated)
        });
        let Some(invalidated) = invalidated else {
            return;
        };
        match invalidated {
            Invalidated::All => log_err!(
                "{self}: {failure}; every device behind it is blocked from now on: reload vtd or \
                 reboot to use them again"
            ),
            Invalidated::Undrained => log_err!(
                "{self}: {failure}; every device behind it is blocked from now on, but the unit \
                 did not confirm that writes in flight have drained; they may still reach memory \
                 that was unmapped: reboot"
            ),
            Invalidated::Nothing => log_emerg!(
                "{self}: {failure}, and it does not respond to register commands either: devices \
                 behind it may still reach memory that was unmapped; power the machine off"
            ),
        }
    }

    /// Clears the root table and invalidates all caches. Returns what the unit confirmed.
    ///
    /// # Context
    ///
    /// Any context.
    pub(super) fn block_all(&self) -> Invalidated {
        self.root.clear();
        let paths = InvalidationPaths {
            root_table: self.cap.root_table_invalidates()
                && !self.fault_injection.is_set(WITHOUT_ROOT_TABLE),
            queue: !self.fault_injection.is_set(WITHOUT_QUEUE),
            registers: !self.fault_injection.is_set(WITHOUT_REGISTERS),
        };
        self.invalidator.invalidate_all(&self.regs, paths)
    }

    /// Returns whether devices behind the unit may still reach memory that was unmapped: it has
    /// failed without confirming otherwise. Known when [`Self::invalidate`] has returned the error.
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn may_still_reach(&self) -> bool {
        self.may_still_reach.load(Ordering::Relaxed)
    }

    /// Returns whether the unit has failed.
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(self.state.get(), UnitState::Failed)
    }
}
