// SPDX-License-Identifier: GPL-2.0

//! The TLB of a device (ATS): when it is on, and what is done with a device that was cut off.
//!
//! The TLB is off whenever the context entry of the device changes, so that nothing cached under the
//! old entry is used under the new one: a device that turns it on again has dropped what it had. It is
//! turned on after the entry allows it, and off before the entry no longer does, so that a device that
//! follows the rules never causes a fault. What a device does that does not follow them, the entry
//! decides.

use super::cut_off::MAX_RESETS;
use super::driver_name::DriverName;
use super::info::DeviceInfo;
use crate::unit::DeviceTlb;
use core::sync::atomic::Ordering;
use kernel_ext::{log_dev_err, log_dev_info};

impl DeviceInfo {
    /// Turns the device's TLB off, if it is on.
    ///
    /// # Context
    ///
    /// Process context.
    pub(super) fn stop_device_tlb(&self) {
        if self.device_tlb.is_some() {
            self.pci.disable_ats();
        }
    }

    /// Turns the device's TLB on. Its context entry allows that.
    ///
    /// # Context
    ///
    /// Process context.
    pub(super) fn start_device_tlb(&self) {
        // The device works without its TLB as well.
        let failed = self.pci.enable_ats().is_err();
        if let Some(note) = failed.then(|| self.log_limit.allow_line()).flatten() {
            log_dev_info!(
                self.pci.as_device(),
                "{}: {self} does not use its TLB: it could not be turned on{note}",
                &*self.unit
            );
        }
    }

    /// Removes its TLB from the list of its unit: the device is released, or was not probed after all.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn remove_device_tlb(&self) {
        if let Some(tlb) = &self.device_tlb {
            self.unit.remove_device_tlb(tlb)
        }
    }

    /// Returns its TLB, if the device was cut off.
    fn lost_tlb(&self) -> Option<&DeviceTlb> {
        self.device_tlb.as_deref().filter(|tlb| tlb.is_lost())
    }

    /// Returns whether the device was cut off, because it did not answer an invalidation.
    pub(crate) fn is_quarantined(&self) -> bool {
        self.lost_tlb().is_some()
    }

    /// Returns what brings back the device, which was cut off, as a sentence.
    pub(super) fn remedy(&self) -> &'static str {
        match self.reset_helps() {
            true => "it was cut off; a reset brings it back, and so do its removal and a rescan",
            false => "it was cut off; its removal and a rescan bring it back",
        }
    }

    /// Returns whether the next reset brings back the device, which was cut off.
    fn reset_helps(&self) -> bool {
        let was_often_cut_off = self.cut_off.times.load(Ordering::Relaxed) > MAX_RESETS;
        self.cut_off.is_marked.load(Ordering::Relaxed) && !was_often_cut_off
    }

    /// Makes a device that was cut off usable again, if it was reset since.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(super) fn restore_after_reset(&self) {
        let Some(tlb) = self.lost_tlb() else {
            return;
        };
        // The core blocks a device before it resets it, so the mark is set before.
        self.complete_cut_off();
        let was_reset = self.reset_helps() && !self.pci.has_ats_mark();
        // No cache may have the old entry when a new one is written.
        if was_reset && self.unit.drop_if_lost(tlb).is_ok() {
            tlb.restore();
            self.cut_off.is_complete.store(false, Ordering::Relaxed);
            log_dev_info!(
                self.pci.as_device(),
                "{}: {self} was reset, and may be used again",
                &*self.unit
            );
        }
    }

    /// Completes what cutting the device off began: turns its TLB and its bus mastering off, and
    /// reports it. Does nothing if it was not cut off, or if that was done.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn complete_cut_off(&self) {
        if !self.is_quarantined() {
            return;
        }
        let state = self.state.lock();
        if self.cut_off.is_complete.swap(true, Ordering::Relaxed) {
            return;
        }
        self.pci.disable_ats();
        self.pci.clear_bus_master();
        let is_marked = self.pci.set_ats_mark();
        self.cut_off.is_marked.store(is_marked, Ordering::Relaxed);
        self.cut_off.times.fetch_add(1, Ordering::Relaxed);
        let (group, id) = (
            state.attach.group_id.unwrap_or_default(),
            state.attach.domain_id,
        );
        drop(state);
        let device = self.pci.as_device();
        log_dev_err!(
            device,
            "{}: {self} (driver {}, group {group}) did not answer a device-TLB invalidation and is cut \
             off: it may still hold translations of memory that was unmapped (domain-id {id}), and \
             its requests are refused from now on (VT-d 6.5.2, ITE); {}",
            &*self.unit,
            DriverName::of(device),
            self.remedy()
        );
        device.announce_change(c"VTD_QUARANTINED=1");
    }
}
