// SPDX-License-Identifier: GPL-2.0

//! Whether a unit serves.
//!
//! Stopped → serving → stopped, and from serving to closed when hardware fails, which is for good. A
//! unit that does not come back from a sleep goes from stopped to closed.

use core::sync::atomic::{AtomicU8, Ordering};
use kernel_ext::clock::Deadline;

const DISABLED: u8 = 0;
const ENABLED: u8 = 1;
const FAILING: u8 = 2;
const FAILED: u8 = 3;

/// Longer than all the register commands of closing can take together.
const FAILING_MS: u64 = 7 * super::registers::TIME_OUT_MS;

/// The state of one unit.
pub(super) struct AtomicUnitState(AtomicU8);

/// What a caller can rely on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum UnitState {
    /// Nothing is translated.
    Disabled,
    /// Invalidations are confirmed by hardware.
    Enabled,
    /// Hardware failed, and all requesters are blocked by now.
    Failed,
}

impl AtomicUnitState {
    /// Stopped.
    pub(super) fn new() -> Self {
        AtomicUnitState(AtomicU8::new(DISABLED))
    }

    /// The state. Whoever comes while the unit is being closed waits until it is: an error that
    /// says "blocked" must be true. Any context.
    pub(super) fn get(&self) -> UnitState {
        if self.0.load(Ordering::Acquire) == FAILING {
            Deadline::after_ms(FAILING_MS).wait_until(|| self.0.load(Ordering::Acquire) != FAILING);
        }
        match self.0.load(Ordering::Acquire) {
            DISABLED => UnitState::Disabled,
            ENABLED => UnitState::Enabled,
            _ => UnitState::Failed,
        }
    }

    /// Whether invalidations can be relied on; the quick question.
    #[inline]
    pub(super) fn is_enabled(&self) -> bool {
        self.0.load(Ordering::Acquire) == ENABLED
    }

    /// Whether nothing is translated.
    pub(super) fn is_disabled(&self) -> bool {
        self.0.load(Ordering::Acquire) == DISABLED
    }

    /// From stopped to serving; a closed unit stays closed.
    pub(super) fn enable(&self) {
        self.change(DISABLED, ENABLED);
    }

    /// From serving to stopped; a closed unit stays closed.
    pub(super) fn disable(&self) {
        self.change(ENABLED, DISABLED);
    }

    /// Whether the caller is the one who closes the unit.
    pub(super) fn begin_failing(&self) -> bool {
        self.change(ENABLED, FAILING)
    }

    /// Closes a unit that is not serving, such as one that did not come back from a sleep.
    pub(super) fn fail_disabled(&self) {
        self.0.store(FAILED, Ordering::Release);
    }

    /// All requesters are blocked.
    pub(super) fn end_failing(&self) {
        self.change(FAILING, FAILED);
    }

    fn change(&self, from: u8, to: u8) -> bool {
        self.0
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}
