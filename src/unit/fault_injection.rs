// SPDX-License-Identifier: GPL-2.0

//! Fault injection for tests (`test_hooks=1`): makes hardware fail, or makes the driver see what it
//! would see if hardware failed.

use super::invalidation::Queue;
use super::Unit;
use core::sync::atomic::{AtomicU32, Ordering};
use vtd_core::concurrent::queue::InvalidationQueue;
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

#[derive(Clone, Copy)]
enum QueueError {
    /// A descriptor that hardware refuses (IQE).
    InvalidDescriptor,
    /// From now on the driver does not see the queue complete anything.
    Hang,
    /// The next wait is lost, and the driver sees this status.
    Status(Fsts),
}

#[derive(Clone, Copy)]
enum Injection {
    Set(u32),
    Clear(u32),
    Queue(QueueError),
}

/// An error that can be injected in a unit.
#[derive(Clone, Copy)]
pub(crate) struct InjectedError(Injection);

impl InjectedError {
    /// Each error with its name.
    const ALL: [(&'static str, Injection); 9] = [
        (
            "invalid-descriptor",
            Injection::Queue(QueueError::InvalidDescriptor),
        ),
        ("hang", Injection::Queue(QueueError::Hang)),
        (
            "time-out-error",
            Injection::Queue(QueueError::Status(Fsts::TIME_OUT)),
        ),
        (
            "completion-error",
            Injection::Queue(QueueError::Status(Fsts::COMPLETION_ERROR)),
        ),
        (
            "fail-without-root-table",
            Injection::Set(WITHOUT_ROOT_TABLE),
        ),
        ("fail-without-queue", Injection::Set(WITHOUT_QUEUE)),
        ("fail-without-registers", Injection::Set(WITHOUT_REGISTERS)),
        ("hold-faults", Injection::Set(HOLD_FAULTS)),
        ("release-faults", Injection::Clear(HOLD_FAULTS)),
    ];

    /// Returns the error that is called `name`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let mut all = Self::ALL.iter();
        all.find(|(other, _)| *other == name)
            .map(|(_, injection)| Self(*injection))
    }

    /// Returns the names of all errors.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> + Clone {
        Self::ALL.iter().map(|(name, _)| *name)
    }
}

impl Unit {
    /// Returns whether `error` can be injected: an error of the queue needs a queue.
    pub(crate) fn can_inject(&self, error: InjectedError) -> bool {
        !matches!(error.0, Injection::Queue(_)) || self.is_queued()
    }

    /// Injects `error`. Without a queue, an error of the queue has no effect.
    pub(crate) fn inject_error(&self, error: InjectedError) {
        let injected = &self.fault_injection.0;
        match error.0 {
            Injection::Set(bit) => {
                injected.fetch_or(bit, Ordering::Relaxed);
            }
            Injection::Clear(bit) => {
                injected.fetch_and(!bit, Ordering::Relaxed);
            }
            Injection::Queue(error) => {
                if let Some(queue) = self.invalidator.queue.as_deref() {
                    self.inject_queue_error(queue, error)
                }
            }
        }
    }

    fn inject_queue_error(&self, queue: &Queue, error: QueueError) {
        match error {
            QueueError::InvalidDescriptor => {
                let words = [INVALID].into_iter();
                if let Err(failure) = queue.submit(&self.regs, words, || {}) {
                    self.fail(&failure);
                }
            }
            QueueError::Hang => {
                self.regs.set_time_out_ms(SHORT_MS);
                queue.redirect_wait_writes(true);
            }
            QueueError::Status(status) => {
                queue.redirect_wait_writes(true);
                queue.inject_status(status.raw());
            }
        }
    }
}
