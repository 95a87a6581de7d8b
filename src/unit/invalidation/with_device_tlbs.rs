// SPDX-License-Identifier: GPL-2.0

//! Invalidations of a unit together with the device-TLBs behind it: in one submission, with one wait.

use super::begun::Begun;
use super::device_tlbs::{DeviceTlb, TlbOwner};
use super::failure::InvalidationFailure;
use super::queue::Queue;
use crate::unit::Unit;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel_ext::pci::PciDevice;
use vtd_core::concurrent::queue::InvalidationQueue;
use vtd_core::invalidation::{everything, CacheTag, InvalidationRange};
use vtd_core::lockless::device_tlb::{DeviceTlbAddress, MAX_DEVICE_TLBS};
use vtd_core::lockless::unit_state::UnitState;

impl Unit {
    /// Adds the TLB of `device`, for whose requester ID the tables were
    /// [prepared](Self::prepare).
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails; [`EINVAL`] if the unit has no queue.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn add_device_tlb(
        &self,
        device: PciDevice,
        address: DeviceTlbAddress,
    ) -> Result<Arc<DeviceTlb>> {
        let word = self.tables.lock().tables.present_word(address.source);
        let queue = self.invalidator.queue.as_deref().ok_or(EINVAL)?;
        let entry = word.ok_or(EINVAL)?;
        let owner = TlbOwner { device, entry };
        let tlb = Arc::new(DeviceTlb::new(address, owner), GFP_KERNEL)?;
        queue.device_tlbs.add(&tlb)?;
        Ok(tlb)
    }

    /// Removes the TLB of a device, which is attached to nothing.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn remove_device_tlb(&self, tlb: &Arc<DeviceTlb>) {
        if let Some(queue) = self.invalidator.queue.as_deref() {
            queue.device_tlbs.remove(tlb)
        }
    }

    /// Makes flushes of the domain with this tag reach the TLB of a device. Returns false if the
    /// device cannot use its TLB there: it was cut off, or [`MAX_DEVICE_TLBS`] others do.
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn join_device_tlb(&self, tlb: &DeviceTlb, tag: CacheTag) -> bool {
        let Some(queue) = self.invalidator.queue.as_deref() else {
            return false;
        };
        queue.device_tlbs.with(|list| {
            let others = list.iter().filter(|one| one.has(tag)).count();
            others < MAX_DEVICE_TLBS && !tlb.is_lost() && tlb.join(tag)
        })
    }

    /// Returns when the unit has dropped the context entry of a device that was cut off: the thread
    /// that cuts it off may still be waiting for that. Does nothing for any other device.
    ///
    /// # Errors
    ///
    /// [`EIO`]: the unit has failed; every requester is blocked.
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn drop_if_lost(&self, tlb: &DeviceTlb) -> Result {
        if !tlb.is_lost() {
            return Ok(());
        }
        tlb.withdraw_if_lost();
        self.invalidate(everything(self.mode()))
    }

    /// Withdraws the context entries of devices that were cut off again, if they were written since.
    /// The tables are locked, and each change of an entry is followed by this.
    ///
    /// # Errors
    ///
    /// [`EIO`]: the unit has failed.
    pub(in crate::unit) fn withdraw_lost(&self) -> Result {
        let Some(queue) = self.invalidator.queue.as_deref() else {
            return Ok(());
        };
        let written = queue.device_tlbs.with(|list| {
            let written = list.iter().filter(|tlb| tlb.withdraw_if_lost());
            written.count()
        });
        match written {
            0 => Ok(()),
            _ => self.invalidate(everything(self.mode())),
        }
    }

    /// Begins an invalidation of the unit and of the device-TLBs that may have translations with this
    /// tag.
    pub(super) fn begin_with_device_tlbs(
        &self,
        queue: &Queue,
        tag: CacheTag,
        range: InvalidationRange,
    ) -> Begun {
        if !self.state.is_enabled() {
            return Begun::Postponed;
        }
        let invalidation = self.invalidator.range_invalidator.invalidation(tag, range);
        // The IOTLB first: otherwise a device could get a translation from there again (VT-d 6.5.2.5).
        let end = queue.device_tlbs.with(|list| {
            let tlbs = || list.iter().filter(|tlb| tlb.has(tag) && !tlb.is_lost());
            // A device that is gone would not answer: it is cut off without waiting for it.
            let gone = || tlbs().filter(|tlb| tlb.is_gone());
            let unit = match gone().next() {
                None => &[invalidation],
                Some(_) => everything(self.mode()),
            };
            let cut_off = || {
                if unit.len() > 1 {
                    gone().for_each(|tlb| {
                        tlb.lose();
                    })
                }
            };
            // Which devices are cut off is read when that is done.
            let devices = tlbs().map(|tlb| tlb.invalidation(range));
            let many = unit.len() + devices.clone().count();
            let all = Iterator::chain(unit.iter().copied(), devices).map(|what| {
                self.stats.count_requests(&[what]);
                self.invalidator.encoder.encode(what)
            });
            queue.try_submit_batch(&self.regs, many, all, cut_off)
        });
        end.map_or(Begun::Postponed, Begun::Submitted)
    }

    /// Does the same, and returns when all have confirmed it, or are cut off, or the unit has failed
    /// and every requester behind it is blocked.
    #[cold]
    #[inline(never)]
    pub(super) fn invalidate_with_device_tlbs(
        &self,
        queue: &Queue,
        tag: CacheTag,
        range: InvalidationRange,
    ) {
        let mut waiting = None;
        // A unit that is disabled has nothing cached; one that has failed blocks every requester.
        while matches!(self.state(), UnitState::Enabled) {
            if let Begun::Submitted(end) = self.begin_with_device_tlbs(queue, tag, range) {
                // After an error every requester is blocked, so the caller can continue.
                let _ = self.wait_for(queue, end);
                return;
            }
            if let Err(failure) = queue.wait_for_room(&self.regs, &mut waiting) {
                self.fail(&InvalidationFailure::Queue(failure));
            }
        }
    }
}
