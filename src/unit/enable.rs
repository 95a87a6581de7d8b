// SPDX-License-Identifier: GPL-2.0

//! Enabling and disabling a unit. All units take the steps of [`vtd_core::bring_up`]; then
//! translation is turned on.

use super::Unit;
use kernel::prelude::*;
use kernel_ext::{clock, log_err, log_info};
use vtd_core::bring_up::BringUpStep;
use vtd_core::invalidation::everything;
use vtd_core::protected_memory::{self, LifecycleEvent};
use vtd_core::spec::capability::Capability;
use vtd_core::spec::registers as regs;
use vtd_core::spec::status::Gcmd;

impl Unit {
    /// Takes one step of [`bring_up`](vtd_core::bring_up). After the last one the unit has its
    /// queue and its tables, and nothing is translated yet.
    ///
    /// # Errors
    ///
    /// [`ETIMEDOUT`], [`EIO`]: the unit did not complete the step.
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn take_step(&self, step: BringUpStep) -> Result {
        let (what, done) = match step {
            BringUpStep::EnableQueue => ("enable its invalidation queue", self.enable_queue()),
            BringUpStep::FlushWriteBuffer => {
                let flushed = self.regs.flush_write_buffer();
                ("flush its write buffer", flushed)
            }
            BringUpStep::SetRootTable => ("accept the root table", self.set_root_table()),
            BringUpStep::InvalidateAll => (
                "invalidate its caches",
                self.invalidate(everything(self.mode())),
            ),
            BringUpStep::CompleteWait => (
                "complete a wait in its invalidation queue",
                self.complete_wait(),
            ),
        };
        done.inspect_err(|_| log_err!("{self}: the unit did not {what} in time"))
    }

    fn enable_queue(&self) -> Result {
        self.regs.clear_stale_faults(self.cap);
        self.disable_old_queue().inspect_err(|_| {
            log_err!(
                "{self}: the unit does not disable the invalidation queue that was left enabled: \
                 reset the machine, a kexec is not enough"
            )
        })?;
        self.invalidator.enable(&self.regs)
    }

    fn set_root_table(&self) -> Result {
        let root = self.root.register_value().ok_or(EINVAL)?;
        self.regs.write64(regs::RTADDR, root);
        self.regs.command(Gcmd::SET_ROOT_TABLE, true)?;
        self.state.enable();
        Ok(())
    }

    fn complete_wait(&self) -> Result {
        let start = clock::now_ns();
        let done = self.invalidator.complete_wait(&self.regs);
        if self.is_queued() {
            self.stats.waits.count_since(start);
        }
        done.map_err(|failure| {
            self.fail(&failure);
            EIO
        })
    }

    /// Turns off a queue that firmware or the previous kernel left enabled, once it is empty.
    fn disable_old_queue(&self) -> Result {
        if !self.regs.status().queue_enabled() {
            return Ok(());
        }
        let empty = || self.regs.read64(regs::IQH) == self.regs.read64(regs::IQT);
        // A queue that is stuck is turned off as it is; the command reports whether that worked.
        let _ = self.regs.wait(empty);
        self.regs.command(Gcmd::QUEUE, false)
    }

    /// Turns translation on, then the protected memory regions off: they would otherwise keep
    /// blocking what the tables permit (VT-d 10.4.16).
    ///
    /// # Errors
    ///
    /// [`ETIMEDOUT`]: the unit did not turn translation on.
    pub(crate) fn enable_translation(&self) -> Result {
        self.regs
            .command(Gcmd::TRANSLATION, true)
            .inspect_err(|_| log_err!("{self}: the unit did not turn translation on in time"))?;
        self.set_protected_memory(LifecycleEvent::TranslationEnabled);
        log_info!("{self}: translation is on");
        Ok(())
    }

    /// Turns the protected memory regions on or off, as `event` requires.
    fn set_protected_memory(&self, event: LifecycleEvent) {
        if !has_protected_memory(self.cap) {
            return;
        }
        let now = self.regs.read32(regs::PMEN);
        let Some(value) =
            protected_memory::pmen_to_write(event, self.protected_memory_at_load, now)
        else {
            return;
        };
        self.regs.write32(regs::PMEN, value);
        let on = protected_memory::regions_enabled(value);
        let obeyed = || (self.regs.read32(regs::PMEN) & regs::PMEN_PRS != 0) == on;
        if self.regs.wait(obeyed).is_err() && !on {
            log_err!(
                "{self}: its protected memory regions cannot be disabled: devices cannot reach \
                 memory in them, even if it is mapped"
            );
        }
    }

    /// Turns interrupt remapping, translation and the queue off. From then on devices reach memory directly, except for
    /// protected memory regions. Returns whether the unit has done all of it. If not, it may still
    /// read its tables or fetch from its queue, and neither may ever be freed.
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn disable(&self, event: LifecycleEvent) -> bool {
        let remapping_off = self.disable_interrupt_remapping();
        if self.state.is_disabled() {
            // Perhaps only its queue was turned on.
            return self.disable_queue() && remapping_off;
        }
        if self.regs.status().translation_enabled()
            && self.regs.command(Gcmd::TRANSLATION, false).is_err()
        {
            log_err!("{self}: translation cannot be turned off; its tables stay allocated");
            return false;
        }
        self.state.disable();
        self.set_protected_memory(event);
        self.disable_queue() && remapping_off
    }

    /// Turns the queue off if the driver has turned it on. Returns whether it is off.
    fn disable_queue(&self) -> bool {
        let obeyed = self.invalidator.disable(&self.regs).is_ok();
        if !obeyed {
            log_err!(
                "{self}: its invalidation queue cannot be turned off; its memory stays allocated"
            );
        }
        obeyed
    }

    /// Returns whether translation is on and must not be turned off: with the devices behind the
    /// unit, the command to turn it off would never complete.
    pub(crate) fn keeps_translation(&self) -> bool {
        self.keeps_translation
            && !self.state.is_disabled()
            && self.regs.status().translation_enabled()
    }

    /// Returns whether translation must stay on once it was turned on.
    pub(crate) fn will_keep_translation(&self) -> bool {
        self.keeps_translation
    }

    /// Disables the unit as [`Self::disable`] does, at shutdown. A unit whose translation must stay
    /// on is left as it is.
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn shut_down(&self) {
        if self.keeps_translation() {
            self.disable_interrupt_remapping();
            log_info!(
                "{self}: translation stays on because the devices behind it need it: the next \
                 kernel (kexec) will find it on"
            );
        } else {
            self.disable(LifecycleEvent::Shutdown);
        }
    }
}

/// Returns whether a unit has protected memory regions.
pub(super) fn has_protected_memory(cap: Capability) -> bool {
    cap.protected_low_memory() || cap.protected_high_memory()
}
