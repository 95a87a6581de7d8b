// SPDX-License-Identifier: GPL-2.0

//! Failing: the unit ends with every requester blocked.

use super::fault_injection::{WITHOUT_QUEUE, WITHOUT_REGISTERS, WITHOUT_ROOT_TABLE};
use super::invalidation::{Dropped, Ways};
use super::state::State;
use super::Unit;
use core::fmt;
use kernel_ext::{log_emerg, log_err};

impl Unit {
    /// Ends the unit's service with every requester blocked.
    pub(super) fn close(&self, failure: &dyn fmt::Display) {
        // Interrupts are off: a handler that unmaps on this processor would wait for us for ever.
        let dropped = self.closing.with(|()| {
            if !self.service.begin_closing() {
                return None;
            }
            let dropped = self.withdraw_everything();
            self.service.end_closing();
            Some(dropped)
        });
        let Some(dropped) = dropped else {
            return;
        };
        match dropped {
            Dropped::All => log_err!(
                "{self}: {failure}; every device behind it is blocked from now on: reload vtd or \
                 reboot to use them again"
            ),
            Dropped::Undrained => log_err!(
                "{self}: {failure}; every device behind it is blocked from now on, but the unit \
                 did not confirm that writes in flight have drained; they may still reach memory \
                 that was unmapped: reboot"
            ),
            Dropped::Nothing => log_emerg!(
                "{self}: {failure}, and it does not respond to register commands either: devices \
                 behind it may still reach memory that was unmapped; power the machine off"
            ),
        }
    }

    /// Blocks every requester and drops all caches; what of it the unit confirmed.
    pub(super) fn withdraw_everything(&self) -> Dropped {
        self.root.withdraw_all();
        let ways = Ways {
            root_table: self.cap.root_table_invalidates() && !self.provoked.is(WITHOUT_ROOT_TABLE),
            queue: !self.provoked.is(WITHOUT_QUEUE),
            registers: !self.provoked.is(WITHOUT_REGISTERS),
        };
        self.invalidator.drop_everything(&self.regs, ways)
    }

    /// Whether the unit was closed after an error.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(self.service.state(), State::Closed)
    }
}
