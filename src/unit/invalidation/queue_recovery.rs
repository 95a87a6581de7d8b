// SPDX-License-Identifier: GPL-2.0

//! Errors of the invalidation queue and how they are handled (VT-d 6.5.2, 11.4.9).
//!
//! - IQE, an invalid descriptor: hardware fetches no more descriptors. The submitter would
//!   otherwise assume that the invalidation had completed, so the queue is aborted and the unit is
//!   failed.
//! - ITE, a device did not respond to a device-TLB invalidation in time: all waits that hardware had
//!   fetched were aborted. The device is cut off (`cut_off.rs`): its context entry is withdrawn, and all
//!   caches are invalidated with a new wait. Waits that hardware had not fetched are replaced, so the
//!   completion of the new one covers all before it: a thread that waits for the invalidation of memory
//!   returns when the device can no longer reach that memory.
//! - ICE, a completion that was not requested: a new wait is submitted. A device must not be able to
//!   fail the unit for all others by sending nonsense.
//! - No progress for longer than hardware may take: the queue is aborted and the unit is failed. As
//!   long as the queue completes something for others, the waiter allows it more time.
//!
//! Each waiter checks for errors itself. The first one that finds an error handles it.

use super::cut_off::DEVICE_MS;
use super::queue::Queue;
use super::queue_error::QueueFailure;
use crate::unit::registers::UnitRegisters;
use core::sync::atomic::Ordering;
use kernel_ext::clock::{self, Deadline};
use kernel_ext::log_warn;
use vtd_core::concurrent::queue::{InvalidationQueue, QueueState};
use vtd_core::invalidation::everything;
use vtd_core::progress_timeout::ProgressTimeout;
use vtd_core::spec::descriptor::InvalidationEncoder;
use vtd_core::spec::invalidation::Invalidation;
use vtd_core::spec::registers;
use vtd_core::spec::scope::IotlbScope;
use vtd_core::spec::status::Fsts;

/// The errors after which the queue continues.
const COMPLETION_ERRORS: u32 = Fsts::COMPLETION_ERROR.raw() | Fsts::TIME_OUT.raw();

impl Queue {
    fn fault_status(&self, regs: &UnitRegisters) -> Fsts {
        let injected_status = self.errors.injected_status.load(Ordering::Relaxed);
        match regs.read32(registers::FSTS) {
            // The unit is gone. Waiters get a time-out.
            u32::MAX => Fsts::from_raw(0),
            raw => Fsts::from_raw(raw | injected_status),
        }
    }

    fn clear(&self, regs: &UnitRegisters, bits: u32) {
        self.errors
            .injected_status
            .fetch_and(!bits, Ordering::Relaxed);
        regs.write32(registers::FSTS, bits);
    }

    /// Makes the next check of FSTS see `bits`. For tests.
    pub(in crate::unit) fn inject_status(&self, bits: u32) {
        self.errors.injected_status.store(bits, Ordering::Relaxed)
    }

    /// Checks for errors while waiting, and whether hardware makes progress.
    ///
    /// # Errors
    ///
    /// [`QueueFailure::Aborted`] if the queue was aborted; [`QueueFailure::Reported`] if hardware
    /// reports an invalid descriptor (IQE); [`QueueFailure::TimeOut`] if hardware makes too little
    /// progress.
    #[cold]
    pub(super) fn check_progress(
        &self,
        regs: &UnitRegisters,
        timeout: &mut Option<ProgressTimeout>,
    ) -> Result<(), QueueFailure> {
        if self.errors.aborted.load(Ordering::Acquire) {
            return Err(QueueFailure::Aborted);
        }
        let status = self.fault_status(regs);
        let head = self.head(regs);
        if status.contains(Fsts::QUEUE_ERROR) {
            let [descriptor, _] = self.read(head);
            return Err(QueueFailure::Reported {
                status,
                head,
                descriptor,
            });
        }
        self.acknowledge(regs);
        let (now, finished) = (clock::now_ns(), self.finished());
        let timeout = timeout.get_or_insert(ProgressTimeout::start(now, finished));
        let mut has_expired =
            |limit_ms: u64| timeout.has_expired(now, finished, limit_ms.saturating_mul(1_000_000));
        if has_expired(regs.time_out_ms()) && (!self.awaits_device() || has_expired(DEVICE_MS)) {
            return Err(QueueFailure::TimeOut { head });
        }
        Ok(())
    }

    /// Handles ITE and ICE, if hardware reports one: clears the error, after which hardware
    /// continues to fetch, and submits a new wait behind those that were aborted.
    ///
    /// # Context
    ///
    /// Any context.
    pub(super) fn acknowledge(&self, regs: &UnitRegisters) {
        if self.fault_status(regs).raw() & COMPLETION_ERRORS == 0 {
            return;
        }
        let acknowledged = self.with_device_tlbs(|tlbs, state| {
            // Another waiter may have handled it since.
            let status = self.fault_status(regs);
            if status.raw() & COMPLETION_ERRORS == 0 {
                return None;
            }
            let sources = regs.read64(registers::IQERCD);
            let cut_off = match status.contains(Fsts::TIME_OUT) {
                true => self.cut_off(regs, state, tlbs, sources),
                false => 0,
            };
            self.clear(regs, COMPLETION_ERRORS);
            self.redirect_wait_writes(false);
            let invalidated = match cut_off {
                0 => &[],
                _ => everything(self.mode()),
            };
            let encoder = InvalidationEncoder::new(self.drain);
            let words = invalidated.iter().map(|what| encoder.encode(*what));
            self.resubmit(regs, state, words);
            Some((status, sources, cut_off))
        });
        if let Some((status, sources, cut_off)) = acknowledged {
            match cut_off {
                0 => self.log_completion_errors(status, sources),
                _ => self.log_cut_off(cut_off),
            }
        }
    }

    /// Logs the completion errors in `status`. A device can cause them at will, so they are logged
    /// at counts 1, 2, 4, 8 and so on.
    fn log_completion_errors(&self, status: Fsts, sources: u64) {
        let count = self.errors.completions.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_power_of_two() {
            for error in Fsts::from_raw(status.raw() & COMPLETION_ERRORS).errors() {
                log_warn!(
                    "dmar{}: {error}; the waits of its queue were resubmitted ({count} such \
                     error(s) so far, IQERCD {sources:#x}, VT-d 11.4.9)",
                    self.index
                );
            }
        }
    }

    /// Aborts the queue: it accepts no more submissions, and waiters return with an error.
    ///
    /// # Context
    ///
    /// Any context.
    pub(super) fn abort(&self) {
        self.errors.aborted.store(true, Ordering::Release);
        self.state.with(QueueState::abort);
    }

    /// Makes hardware complete what is in the queue, after [`Self::abort`]. Each invalid descriptor
    /// is replaced by one that invalidates all translations, so its submitter gets no less than it
    /// waits for. Returns whether the queue is empty.
    ///
    /// # Context
    ///
    /// Any context.
    pub(super) fn drain_after_error(
        &self,
        regs: &UnitRegisters,
        encoder: &InvalidationEncoder,
    ) -> bool {
        let submitted = self.state.with(|state| state.submitted());
        let deadline = Deadline::after_ms(regs.time_out_ms());
        let everything = Invalidation::Iotlb(IotlbScope::Global);
        for _ in 0..self.slots() {
            if self.fault_status(regs).contains(Fsts::QUEUE_ERROR) {
                self.write(self.head(regs), encoder.encode(everything));
            }
            self.clear(regs, COMPLETION_ERRORS | Fsts::QUEUE_ERROR.raw());
            // The same tail again: QEMU processes the queue only when the tail is written.
            self.move_tail(regs, submitted);
            let is_empty = || self.head(regs) == submitted % self.slots();
            let stopped = || self.fault_status(regs).contains(Fsts::QUEUE_ERROR);
            let drained_or_stopped = deadline.wait_until(|| is_empty() || stopped());
            if !drained_or_stopped {
                return false;
            }
            if !stopped() {
                return true;
            }
        }
        false
    }

    /// Submits `all`, after [`Self::drain_after_error`]. Returns whether hardware has confirmed it.
    ///
    /// # Context
    ///
    /// Any context.
    pub(super) fn invalidate(
        &self,
        regs: &UnitRegisters,
        encoder: &InvalidationEncoder,
        all: &[Invalidation],
    ) -> bool {
        let mine = self.state.with(|state| {
            let words = all.iter().map(|what| encoder.encode(*what));
            self.fill(regs, state, words)
        });
        let deadline = Deadline::after_ms(regs.time_out_ms());
        deadline.wait_until(|| self.has_finished(mine))
    }
}
