// SPDX-License-Identifier: GPL-2.0

//! Failing a unit: every requester behind it is blocked, for good.

use super::fault_injection::{WITHOUT_QUEUE, WITHOUT_REGISTERS, WITHOUT_ROOT_TABLE};
use super::invalidation::{Invalidated, InvalidationPaths};
use super::registers::TIME_OUT_MS;
use super::Unit;
use core::fmt;
use core::sync::atomic::Ordering;
use kernel_ext::clock::Deadline;
use kernel_ext::{log_emerg, log_err};
use vtd_core::invalidation::everything;
use vtd_core::lockless::unit_state::UnitState;
use vtd_core::spec::registers::TranslationTableMode;
use vtd_core::spec::status::Gcmd;

/// Longer than all register commands that failing a unit issues can take together.
const FAILING_MS: u64 = 10 * TIME_OUT_MS;

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
        let blocked = self.failing.with(|()| {
            if !self.state.begin_failing() {
                return None;
            }
            let blocked = self.block_all();
            if blocked.0 != Invalidated::All {
                self.may_still_reach.store(true, Ordering::Relaxed);
            }
            self.state.end_failing();
            Some(blocked)
        });
        let Some((invalidated, interrupts)) = blocked else {
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
                "{self}: {failure}, and it {}: devices behind it may still reach memory that was \
                 unmapped; power the machine off",
                match self.mode() {
                    TranslationTableMode::Legacy => "does not respond to register commands either",
                    TranslationTableMode::Scalable => {
                        "has not dropped what it cached, for which scalable mode has no other way"
                    }
                }
            ),
        }
        if self.remaps_interrupts() {
            match interrupts {
                true => log_err!("{self}: interrupts of these devices are refused as well"),
                false => log_err!(
                    "{self}: interrupts of these devices may still arrive, because the unit did \
                     not confirm that it has dropped their entries. Once their drivers are unbound, \
                     they may arrive at another device's driver, which gets the vector next: reboot"
                ),
            }
        }
    }

    /// Clears the root table and makes all interrupt entries absent, and invalidates all caches.
    /// Returns what the unit confirmed, and whether it confirmed that it has no interrupt entries.
    ///
    /// # Context
    ///
    /// Any context.
    pub(super) fn block_all(&self) -> (Invalidated, bool) {
        self.root.clear();
        let by_interrupt_table = self.block_interrupts();
        let paths = InvalidationPaths {
            root_table: self.cap.root_table_invalidates()
                && !self.fault_injection.is_set(WITHOUT_ROOT_TABLE),
            queue: !self.fault_injection.is_set(WITHOUT_QUEUE),
            // Scalable mode has no invalidation by registers (VT-d 6.5).
            registers: self.mode() == TranslationTableMode::Legacy
                && !self.fault_injection.is_set(WITHOUT_REGISTERS),
            interrupts: self.remaps_interrupts(),
        };
        let all = everything(self.mode());
        let (invalidated, by_queue) = self.invalidator.invalidate_all(&self.regs, all, paths);
        (invalidated, by_interrupt_table || by_queue)
    }

    /// Makes all interrupt entries absent, and makes the unit take the table once more. Returns
    /// whether it has dropped what it had cached thereby.
    fn block_interrupts(&self) -> bool {
        let Some(remapping) = self.interrupts.as_deref() else {
            return false;
        };
        remapping.block();
        remapping.is_on()
            && self.regs.command(Gcmd::SET_INTERRUPT_TABLE, true).is_ok()
            && self.cap.interrupt_table_invalidates()
            && !self.fault_injection.is_set(WITHOUT_ROOT_TABLE)
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
        matches!(self.state(), UnitState::Failed)
    }

    /// Returns the state. While the unit is being failed, waits until all requesters are blocked.
    ///
    /// # Context
    ///
    /// Any context.
    pub(super) fn state(&self) -> UnitState {
        self.state.get(|is_over| {
            let _ = Deadline::after_ms(FAILING_MS).wait_until(is_over);
        })
    }
}
