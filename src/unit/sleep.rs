// SPDX-License-Identifier: GPL-2.0

//! A unit before and after the machine sleeps.

use super::Unit;
use kernel::prelude::*;
use vtd_core::spec::registers as regs;

/// What of a unit's registers a sleep loses and no other step restores.
pub(crate) struct Saved {
    fault_event: [u32; 4],
}

impl Unit {
    /// Before a sleep: remembers the fault event and stops. One CPU, interrupts off.
    pub(crate) fn suspend(&self) -> Saved {
        let fault_event = FAULT_EVENT.map(|register| self.regs.read32(register));
        self.stop();
        Saved { fault_event }
    }

    /// After a sleep: as it was before. [`ETIMEDOUT`] or [`EIO`] if the unit does not come back,
    /// which has been logged. One CPU, interrupts off.
    pub(crate) fn resume(&self, saved: &Saved) -> Result {
        self.start()?;
        for (register, value) in FAULT_EVENT.into_iter().zip(saved.fault_event) {
            self.regs.write32(register, value);
        }
        self.translate()
    }
}

/// The registers of the fault event, the one that unmasks it last.
const FAULT_EVENT: [regs::Reg32; 4] = [regs::FEDATA, regs::FEADDR, regs::FEUADDR, regs::FECTL];
