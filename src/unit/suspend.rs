// SPDX-License-Identifier: GPL-2.0

//! A unit before and after the machine sleeps.

use super::invalidation::Invalidated;
use super::Unit;
use kernel::prelude::*;
use kernel_ext::{log_emerg, log_err};
use vtd_core::bring_up::BringUpStep;
use vtd_core::protected_memory::LifecycleEvent;
use vtd_core::spec::registers as regs;
use vtd_core::spec::status::Gcmd;

/// What of a unit's registers a sleep loses and no other step restores.
pub(crate) struct SuspendState {
    fault_event: [u32; 4],
    /// Whether a step to bring the unit up again failed.
    resume_failed: bool,
}

impl Unit {
    /// Before a sleep: remembers the fault event and stops, but for a unit whose translation must
    /// stay on. One CPU, interrupts off.
    pub(crate) fn suspend(&self) -> SuspendState {
        let fault_event = FAULT_EVENT.map(|register| self.regs.read32(register));
        if !self.keeps_translation() {
            self.disable(LifecycleEvent::Suspend);
        }
        SuspendState {
            fault_event,
            resume_failed: false,
        }
    }

    /// After a sleep: takes a step to bring the unit up again, unless one before it failed or the unit
    /// was closed. One CPU, interrupts off.
    pub(crate) fn resume_step(&self, saved: &mut SuspendState, step: BringUpStep) {
        if !saved.resume_failed && !self.has_failed() {
            saved.resume_failed = self.take_step(step).is_err();
        }
    }

    /// After a sleep, when all steps were taken for all units: as it was before. A unit that was
    /// closed, or does not come back, translates with an empty root table: what is behind it is
    /// blocked, and the log says so. One CPU, interrupts off.
    pub(crate) fn resume(&self, saved: &SuspendState) {
        if self.has_failed() && !saved.resume_failed {
            self.resume_blocked(saved, "failed before suspend and stays failed");
        } else if saved.resume_failed || self.resume_translation(saved).is_err() {
            self.resume_blocked(saved, "could not be re-enabled after suspend");
        }
    }

    /// Serves as before. The first error, which has been logged.
    fn resume_translation(&self, saved: &SuspendState) -> Result {
        self.restore_fault_event(saved);
        self.enable_translation()
    }

    /// Blocks every requester, by a translation that leads nowhere.
    fn resume_blocked(&self, saved: &SuspendState, why: &str) {
        self.state.fail_disabled();
        let blocked = self.enable_with_empty_root_table();
        self.restore_fault_event(saved);
        if blocked {
            log_err!(
                "{self}: {why}: every device behind it is blocked: reload vtd or reboot to use \
                 them again"
            );
        } else {
            log_emerg!(
                "{self}: {why}, and does not respond to register commands either: devices behind \
                 it may reach all of memory; power the machine off"
            );
        }
    }

    /// Whether the unit confirmed that it translates, with an empty root table.
    fn enable_with_empty_root_table(&self) -> bool {
        self.root.clear();
        let Some(root) = regs::root_table_address(self.root.address()) else {
            return false;
        };
        self.regs.write64(regs::RTADDR, root);
        let set = self.regs.command(Gcmd::SET_ROOT_TABLE, true).is_ok();
        // What a sleep leaves in the caches is nothing; a unit that was not off may have kept some.
        set && self.block_all() != Invalidated::Nothing && self.enable_translation().is_ok()
    }

    fn restore_fault_event(&self, saved: &SuspendState) {
        for (register, value) in FAULT_EVENT.into_iter().zip(saved.fault_event) {
            self.regs.write32(register, value);
        }
    }
}

/// The registers of the fault event, the one that unmasks it last.
const FAULT_EVENT: [regs::Reg32; 4] = [regs::FEDATA, regs::FEADDR, regs::FEUADDR, regs::FECTL];
