// SPDX-License-Identifier: GPL-2.0

//! Fault injection for tests (`test_hooks=1`): makes hardware fail, or makes the driver see what it
//! would see if hardware failed.

use super::invalidation::Queue;
use super::Unit;
use core::sync::atomic::{AtomicU32, Ordering};
use kernel::prelude::*;
use vtd_core::spec::status::Fsts;

/// Failing the unit does not rely on the root table command to invalidate all caches.
pub(super) const WITHOUT_ROOT_TABLE: u32 = 1 << 0;
/// Failing the unit does not use the queue.
pub(super) const WITHOUT_QUEUE: u32 = 1 << 1;
/// Failing the unit does not use the registers.
pub(super) const WITHOUT_REGISTERS: u32 = 1 << 3;
/// Fault records are not read.
pub(super) const HOLD_FAULTS: u32 = 1 << 2;

/// An invalid descriptor: no descriptor has this type.
const INVALID: [u64; 2] = [0xf, 0];

/// A time-out that is short enough for a test to wait for.
const SHORT_MS: u64 = 500;

/// The faults that are injected.
#[derive(Default)]
pub(super) struct FaultInjection(AtomicU32);

impl FaultInjection {
    /// Returns whether fault `bit` is injected.
    pub(super) fn is_set(&self, bit: u32) -> bool {
        self.0.load(Ordering::Relaxed) & bit != 0
    }
}

impl Unit {
    /// Injects the error that `error` names.
    ///
    /// - `invalid-descriptor`: a descriptor that hardware refuses (IQE).
    /// - `hang`: from now on the driver does not see the queue complete anything.
    /// - `time-out-error`, `completion-error`: the next wait is lost, and the driver sees ITE or
    ///   ICE.
    /// - `hold-faults`, `release-faults`: fault records are no longer read, or are read again.
    /// - `fail-without-root-table`, `fail-without-queue`, `fail-without-registers`: failing the
    ///   unit does not use this path.
    ///
    /// # Errors
    ///
    /// [`EINVAL`]: no error has this name. [`ENODEV`]: the error needs a queue, and the unit has
    /// none.
    pub(crate) fn inject_error(&self, error: &str) -> Result {
        let set = |bit| {
            self.fault_injection.0.fetch_or(bit, Ordering::Relaxed);
            Ok(())
        };
        match error {
            "hold-faults" => set(HOLD_FAULTS),
            "release-faults" => {
                self.fault_injection
                    .0
                    .fetch_and(!HOLD_FAULTS, Ordering::Relaxed);
                Ok(())
            }
            "fail-without-root-table" => set(WITHOUT_ROOT_TABLE),
            "fail-without-queue" => set(WITHOUT_QUEUE),
            "fail-without-registers" => set(WITHOUT_REGISTERS),
            _ => self.inject_queue_error(self.invalidator.queue.as_deref().ok_or(ENODEV)?, error),
        }
    }

    fn inject_queue_error(&self, queue: &Queue, error: &str) -> Result {
        match error {
            "invalid-descriptor" => {
                let words = [INVALID].into_iter();
                if let Err(failure) = queue.submit_words(&self.regs, words, || {}) {
                    self.fail(&failure);
                }
            }
            "hang" => {
                self.regs.set_time_out_ms(SHORT_MS);
                queue.redirect_wait_writes(true);
            }
            "time-out-error" => {
                queue.redirect_wait_writes(true);
                queue.inject_status(Fsts::TIME_OUT.raw());
            }
            "completion-error" => {
                queue.redirect_wait_writes(true);
                queue.inject_status(Fsts::COMPLETION_ERROR.raw());
            }
            _ => return Err(EINVAL),
        }
        Ok(())
    }
}
