// SPDX-License-Identifier: GPL-2.0

//! The TLBs of the devices behind a unit (ATS), as invalidations reach them.
//!
//! [`vtd_core::lockless::device_tlb`] has the rules. The list has each device behind the unit that
//! may use its TLB, from when it is probed until it is released.

use super::begun::Begun;
use super::failure::InvalidationFailure;
use super::queue::Queue;
use crate::unit::registers::UnitRegisters;
use crate::unit::translation::PresentWord;
use crate::unit::Unit;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel_ext::lock::IrqSpinLock;
use kernel_ext::log_err;
use kernel_ext::pci::PciDevice;
use vtd_core::concurrent::queue::{InvalidationQueue, QueueState};
use vtd_core::invalidation::{everything, CacheTag, InvalidationRange};
use vtd_core::lockless::device_tlb::{self, DeviceTlbAddress, WithdrawnEntry, MAX_DEVICE_TLBS};
use vtd_core::lockless::unit_state::UnitState;
use vtd_core::spec::address::SourceId;
use vtd_core::spec::descriptor::{Descriptor, InvalidationEncoder};
use vtd_core::spec::invalidation::Invalidation;
use vtd_core::spec::queue::DescriptorWidth;
use vtd_core::spec::registers::TranslationTableMode;
use vtd_core::spec::scope::IotlbScope;

/// A device with a TLB, and its context entry.
pub(crate) struct TlbOwner {
    device: PciDevice,
    entry: PresentWord,
}

impl WithdrawnEntry for TlbOwner {
    fn is_gone(&self) -> bool {
        self.device.is_gone()
    }

    fn withdraw(&self) -> bool {
        self.entry.withdraw()
    }
}

/// The TLB of a device behind a unit.
pub(crate) type DeviceTlb = device_tlb::DeviceTlb<TlbOwner>;

/// The device-TLBs behind one unit. The lock is taken before that of the queue.
#[pin_data]
pub(crate) struct DeviceTlbs {
    #[pin]
    list: IrqSpinLock<KVec<Arc<DeviceTlb>>>,
}

impl DeviceTlbs {
    /// Creates an empty list.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            list <- kernel_ext::new_irq_spinlock!(KVec::new(), c"vtd device-TLBs"),
        })
    }

    /// Adds a device-TLB.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    fn add(&self, tlb: &Arc<DeviceTlb>) -> Result {
        // Memory is allocated and freed without the lock.
        let mut room = KVec::new();
        let mut added = Some(tlb.clone());
        loop {
            let missing = self.list.with(|list| {
                if list.len() == list.capacity() {
                    if room.capacity() <= list.len() {
                        return Some(list.len() + 1);
                    }
                    core::mem::swap(list, &mut room);
                    for tlb in room.drain_all() {
                        let _ = list.push_within_capacity(tlb);
                    }
                }
                if let Some(tlb) = added.take() {
                    let _ = list.push_within_capacity(tlb);
                }
                None
            });
            let Some(missing) = missing else {
                return Ok(());
            };
            room = KVec::with_capacity(missing, GFP_KERNEL)?;
        }
    }

    fn remove(&self, tlb: &Arc<DeviceTlb>) {
        let removed = self.list.with(|list| {
            let at = list.iter().position(|one| Arc::ptr_eq(one, tlb))?;
            list.remove(at).ok()
        });
        drop(removed);
    }

    /// Calls `work` with the list locked.
    pub(super) fn with<R>(&self, work: impl FnOnce(&[Arc<DeviceTlb>]) -> R) -> R {
        self.list.with(|list| work(list))
    }
}

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

/// How long the queue may complete nothing while a device has an invalidation to answer, in
/// milliseconds. PCIe allows a device one and a half minutes, after which the unit reports ITE.
pub(super) const DEVICE_MS: u64 = 100_000;

/// The bits of IQERCD with the requester ID of the device that did not answer (ITESID); 0 on units
/// that do not record it.
const ITESID: u32 = 32;

impl Queue {
    /// Calls `work` with the list of device-TLBs and the state locked.
    pub(super) fn with_device_tlbs<R>(
        &self,
        work: impl FnOnce(&[Arc<DeviceTlb>], &mut QueueState) -> R,
    ) -> R {
        self.device_tlbs
            .with(|tlbs| self.state.with(|state| work(tlbs, state)))
    }

    /// Returns the mode of the unit.
    pub(super) fn mode(&self) -> TranslationTableMode {
        match self.width() {
            DescriptorWidth::Bits128 => TranslationTableMode::Legacy,
            DescriptorWidth::Bits256 => TranslationTableMode::Scalable,
        }
    }

    /// Returns the device-TLB that the descriptor number `at` invalidates.
    fn device_of(&self, at: u32) -> Option<SourceId> {
        let [low, high] = self.read(at);
        match Descriptor::decode_wide([low, high, 0, 0]) {
            Ok(Descriptor::Invalidate(Invalidation::DeviceTlb(scope), _)) => Some(scope.source),
            _ => None,
        }
    }

    /// Returns whether a device has an invalidation to answer.
    pub(super) fn awaits_device(&self) -> bool {
        self.state.with(|state| {
            let waiting = state.submitted().wrapping_sub(self.finished());
            (1..=waiting).any(|back| {
                self.device_of(state.submitted().wrapping_sub(back))
                    .is_some()
            })
        })
    }

    /// Cuts off the device that did not answer, which `error_record` (IQERCD) names, or all to which
    /// hardware has sent an invalidation that is not confirmed. Returns how many. The caller
    /// invalidates all caches.
    pub(super) fn cut_off(
        &self,
        regs: &UnitRegisters,
        state: &QueueState,
        tlbs: &[Arc<DeviceTlb>],
        error_record: u64,
    ) -> usize {
        let named = SourceId::from_raw((error_record >> ITESID) as u16);
        let is_named = named.raw() != 0 && tlbs.iter().any(|tlb| tlb.source() == named);
        let (finished, head) = (self.finished(), self.head(regs));
        let pending = (0..state.submitted().wrapping_sub(finished))
            .map(|behind| finished.wrapping_add(behind));
        let is_head = |at: &u32| at % self.slots() == head;
        let sent = pending.clone().take_while(|at| !is_head(at));
        let mut cut_off = 0;
        for tlb in tlbs {
            let is_suspect = match is_named {
                true => tlb.source() == named,
                false => sent
                    .clone()
                    .any(|at| self.device_of(at) == Some(tlb.source())),
            };
            cut_off += usize::from(is_suspect && tlb.lose());
        }
        // Hardware fetches nothing until the error is cleared. What it would send to a device that
        // was cut off becomes an invalidation of the unit.
        let encoder = InvalidationEncoder::new(self.drain);
        let instead = encoder.encode(Invalidation::Iotlb(IotlbScope::Global));
        for at in pending.skip_while(|at| !is_head(at)) {
            let source = self.device_of(at);
            if tlbs
                .iter()
                .any(|tlb| tlb.is_lost() && source == Some(tlb.source()))
            {
                self.write(at, instead);
            }
        }
        cut_off
    }

    /// Logs that devices were cut off. Which ones is reported with each device.
    pub(super) fn log_cut_off(&self, devices: usize) {
        log_err!(
            "dmar{}: {devices} device(s) did not answer a device-TLB invalidation in time, may still \
             hold translations of memory that was unmapped, and are cut off: their requests are \
             refused from now on (ITE, VT-d 6.5.2)",
            self.index
        )
    }
}
