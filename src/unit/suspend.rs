// SPDX-License-Identifier: GPL-2.0

//! Suspend and resume of a unit.

use super::invalidation::Invalidated;
use super::Unit;
use core::sync::atomic::Ordering;
use kernel::prelude::*;
use kernel_ext::{log_emerg, log_err};
use vtd_core::bring_up::BringUpStep;
use vtd_core::protected_memory::LifecycleEvent;
use vtd_core::spec::registers as regs;
use vtd_core::spec::status::Gcmd;

/// The registers of a unit that a suspend loses and that no bring-up step restores.
pub(crate) struct SuspendState {
    fault_event: [u32; 4],
    /// Whether interrupts were remapped.
    remapped_interrupts: bool,
    /// Whether a bring-up step failed during resume.
    resume_failed: bool,
}

impl Unit {
    /// Saves the fault event registers and disables the unit, unless its translation must stay on.
    /// One CPU, interrupts off.
    pub(crate) fn suspend(&self) -> SuspendState {
        let fault_event = FAULT_EVENT.map(|register| self.regs.read32(register));
        let remapped_interrupts = self.remaps_interrupts();
        self.disable_interrupt_remapping();
        if !self.keeps_translation() {
            self.disable(LifecycleEvent::Suspend);
        }
        SuspendState {
            fault_event,
            remapped_interrupts,
            resume_failed: false,
        }
    }

    /// Takes one bring-up step during resume, unless an earlier one failed or the unit has failed.
    /// One CPU, interrupts off.
    pub(crate) fn resume_step(&self, saved: &mut SuspendState, step: BringUpStep) {
        if !saved.resume_failed && !self.has_failed() {
            saved.resume_failed = self.take_step(step).is_err();
        }
    }

    /// Resumes the unit, once all steps were taken for all units. A unit that had failed, or that
    /// cannot be re-enabled, translates with an empty root table: the devices behind it are
    /// blocked, and the log says so. One CPU, interrupts off.
    pub(crate) fn resume(&self, saved: &SuspendState) {
        if self.has_failed() && !saved.resume_failed {
            self.resume_blocked(saved, "failed before suspend and stays failed");
        } else if saved.resume_failed || self.resume_translation(saved).is_err() {
            self.resume_blocked(saved, "could not be re-enabled after suspend");
        }
    }

    /// Restores the fault event, and turns interrupt remapping and translation on. The error has
    /// been logged.
    fn resume_translation(&self, saved: &SuspendState) -> Result {
        self.restore_fault_event(saved);
        if saved.remapped_interrupts {
            self.resume_interrupt_remapping()?;
        }
        self.enable_translation()
    }

    /// Blocks every requester: turns translation on with an empty root table.
    fn resume_blocked(&self, saved: &SuspendState, why: &str) {
        self.state.fail_disabled();
        let blocked = self.enable_with_empty_root_table();
        if saved.remapped_interrupts {
            self.resume_interrupts_blocked();
        }
        self.restore_fault_event(saved);
        if blocked {
            log_err!(
                "{self}: {why}: every device behind it is blocked: reload vtd or reboot to use \
                 them again"
            );
        } else {
            self.may_still_reach.store(true, Ordering::Relaxed);
            log_emerg!(
                "{self}: {why}, and does not respond to register commands either: devices behind \
                 it may reach all of memory; power the machine off"
            );
        }
    }

    /// Turns translation on with an empty root table. Returns whether the unit confirmed it.
    fn enable_with_empty_root_table(&self) -> bool {
        self.root.clear();
        let Some(root) = self.root.register_value() else {
            return false;
        };
        self.regs.write64(regs::RTADDR, root);
        let set = self.regs.command(Gcmd::SET_ROOT_TABLE, true).is_ok();
        // A suspend leaves nothing in the caches, but a unit that was not powered off may have kept
        // some.
        set && self.block_all().0 != Invalidated::Nothing && self.enable_translation().is_ok()
    }

    fn restore_fault_event(&self, saved: &SuspendState) {
        for (register, value) in FAULT_EVENT.into_iter().zip(saved.fault_event) {
            self.regs.write32(register, value);
        }
    }
}

/// The registers of the fault event. The last one unmasks it.
const FAULT_EVENT: [regs::Reg32; 4] = [regs::FEDATA, regs::FEADDR, regs::FEUADDR, regs::FECTL];
