// SPDX-License-Identifier: GPL-2.0

//! Turns interrupt remapping on and off.

use super::remapping::InterruptRemapping;
use super::table::InterruptTable;
use crate::unit::Unit;
use core::sync::atomic::Ordering;
use kernel::prelude::*;
use kernel_ext::log_err;
use vtd_core::spec::interrupt::{ApicMode, MAX_ENTRIES};
use vtd_core::spec::registers as regs;
use vtd_core::spec::status::Gcmd;

/// How long a unit may take to let requests in compatibility format pass. QEMU's never does, and a
/// load waits for it.
const COMPATIBILITY_MS: u64 = 20;

impl Unit {
    /// Turns interrupt remapping on; `compatibility` lets requests in compatibility format pass.
    /// Returns whether it is on: not if these requests are to pass, and the unit does not execute the command.
    ///
    /// # Errors
    ///
    /// [`ETIMEDOUT`], [`EIO`]: the unit did not complete a step; the log says so. [`ENODEV`]: the
    /// unit has no table.
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn enable_interrupt_remapping(
        &self,
        mode: ApicMode,
        compatibility: bool,
    ) -> Result<bool> {
        let remapping = self.interrupts.as_deref().ok_or(ENODEV)?;
        remapping.table.with(|table| table.set_mode(mode));
        remapping
            .compatibility
            .store(compatibility, Ordering::Relaxed);
        let obeyed = match compatibility {
            true => self
                .regs
                .try_command(Gcmd::COMPATIBILITY_FORMAT, COMPATIBILITY_MS),
            false => Ok(true),
        };
        obeyed
            .and_then(|obeyed| match obeyed {
                true => self.turn_interrupt_remapping_on(remapping).map(|()| true),
                false => Ok(false),
            })
            .inspect_err(|_| {
                log_err!(
                    "{self}: the unit did not turn interrupt remapping on in time: interrupts=0 \
                     loads vtd without it"
                )
            })
    }

    /// Turns interrupt remapping on again after a suspend, if it was on.
    ///
    /// # Errors
    ///
    /// As for [`Self::enable_interrupt_remapping`].
    ///
    /// # Context
    ///
    /// One CPU, interrupts off.
    pub(in crate::unit) fn resume_interrupt_remapping(&self) -> Result {
        match self.interrupts.as_deref() {
            Some(remapping) => self.turn_interrupt_remapping_on(remapping),
            None => Ok(()),
        }
    }

    /// Turns interrupt remapping on after a suspend for a unit that cannot be used any more: no
    /// interrupt passes, except in compatibility format if that was so before.
    ///
    /// # Context
    ///
    /// One CPU, interrupts off.
    pub(in crate::unit) fn resume_interrupts_blocked(&self) {
        let Some(remapping) = self.interrupts.as_deref() else {
            return;
        };
        remapping.block();
        let compatibility = remapping.compatibility.load(Ordering::Relaxed);
        remapping.is_on.store(true, Ordering::Relaxed);
        let done = remapping
            .table
            .with(|table| self.set_table(table))
            .and_then(|()| self.regs.command(Gcmd::COMPATIBILITY_FORMAT, compatibility))
            .and_then(|()| self.regs.command(Gcmd::INTERRUPT_REMAPPING, true));
        if done.is_err() {
            log_err!("{self}: its interrupts cannot be blocked: it does not respond");
        }
    }

    fn turn_interrupt_remapping_on(&self, remapping: &InterruptRemapping) -> Result {
        // Set before the command: a command that times out may still take effect later.
        remapping.is_on.store(true, Ordering::Relaxed);
        remapping.table.with(|table| self.set_table(table))?;
        if !self.cap.interrupt_table_invalidates() {
            self.invalidate_interrupts(0, MAX_ENTRIES)?;
        }
        let compatibility = remapping.compatibility.load(Ordering::Relaxed);
        self.regs
            .command(Gcmd::COMPATIBILITY_FORMAT, compatibility)?;
        self.regs.command(Gcmd::INTERRUPT_REMAPPING, true)
    }

    /// Makes hardware use `table`. The table is locked.
    ///
    /// # Errors
    ///
    /// [`ETIMEDOUT`] if the unit does not acknowledge it.
    pub(super) fn set_table(&self, table: &InterruptTable) -> Result {
        let address = table.address().ok_or(EINVAL)?;
        self.regs.write64(regs::IRTA, address);
        self.regs.command(Gcmd::SET_INTERRUPT_TABLE, true)
    }

    /// Turns interrupt remapping off, if the driver has turned it on. Returns whether it is off; if
    /// not, the table may never be freed.
    ///
    /// # Context
    ///
    /// Any context.
    pub(in crate::unit) fn disable_interrupt_remapping(&self) -> bool {
        let Some(remapping) = self.interrupts.as_deref().filter(|one| one.is_on()) else {
            return true;
        };
        if self.regs.command(Gcmd::INTERRUPT_REMAPPING, false).is_err() {
            log_err!("{self}: interrupt remapping cannot be turned off; its table stays allocated");
            return false;
        }
        remapping.is_on.store(false, Ordering::Relaxed);
        // A unit that has failed has no queue any more; its table was emptied.
        let _ = self.invalidate_interrupts(0, MAX_ENTRIES);
        let _ = self.regs.command(Gcmd::COMPATIBILITY_FORMAT, false);
        true
    }
}
