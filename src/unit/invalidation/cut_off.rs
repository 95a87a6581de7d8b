// SPDX-License-Identifier: GPL-2.0

//! Cutting off devices that do not answer an invalidation of their TLB (ITE, VT-d 6.5.2).

use super::device_tlbs::DeviceTlb;
use super::queue::Queue;
use crate::unit::registers::UnitRegisters;
use kernel::sync::Arc;
use kernel_ext::log_err;
use vtd_core::concurrent::queue::{InvalidationQueue, QueueState};
use vtd_core::spec::address::SourceId;
use vtd_core::spec::descriptor::{Descriptor, InvalidationEncoder};
use vtd_core::spec::invalidation::Invalidation;
use vtd_core::spec::queue::DescriptorWidth;
use vtd_core::spec::registers::TranslationTableMode;
use vtd_core::spec::scope::IotlbScope;

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

    /// Returns whether the descriptor number `at` is a wait.
    fn is_wait(&self, at: u32) -> bool {
        let [low, high] = self.read(at);
        let decoded = Descriptor::decode_wide([low, high, 0, 0]);
        matches!(decoded, Ok(Descriptor::Wait { .. }))
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

    /// Cuts off the device that did not answer. If `error_record` (IQERCD) does not name it, these are
    /// all to which hardware has sent an invalidation that is not confirmed. Returns how many: 0 if the
    /// device was cut off or released before. The caller invalidates all caches.
    pub(super) fn cut_off(
        &self,
        regs: &UnitRegisters,
        state: &QueueState,
        tlbs: &[Arc<DeviceTlb>],
        error_record: u64,
    ) -> usize {
        let named = SourceId::from_raw((error_record >> ITESID) as u16);
        let (finished, head) = (self.finished(), self.head(regs));
        let pending = (0..state.submitted().wrapping_sub(finished))
            .map(|behind| finished.wrapping_add(behind));
        let is_head = |at: &u32| at % self.slots() == head;
        let sent = pending.clone().take_while(|at| !is_head(at));
        let mut cut_off = 0;
        for tlb in tlbs {
            let is_suspect = match named.raw() {
                1.. => tlb.source() == named,
                0 => sent
                    .clone()
                    .any(|at| self.device_of(at) == Some(tlb.source())),
            };
            cut_off += usize::from(is_suspect && tlb.lose());
        }
        // Hardware fetches nothing until the error is cleared. What it would send to a device that was
        // cut off becomes an invalidation of the unit. So does a wait: one that was not aborted would
        // end, for all before it, without what the caller is about to submit.
        let encoder = InvalidationEncoder::new(self.drain);
        let instead = encoder.encode(Invalidation::Iotlb(IotlbScope::Global));
        for at in pending.skip_while(|at| !is_head(at)) {
            let source = self.device_of(at);
            let is_lost = |tlb: &Arc<DeviceTlb>| tlb.is_lost() && source == Some(tlb.source());
            if tlbs.iter().any(is_lost) || (cut_off > 0 && self.is_wait(at)) {
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
