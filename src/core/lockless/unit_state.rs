// SPDX-License-Identifier: GPL-2.0

//! The state of a unit.
//!
//! A unit changes from disabled to enabled and back. When hardware fails, an enabled unit changes
//! to failed, and stays failed. A unit that cannot be re-enabled after a suspend changes from
//! disabled to failed.

use super::atomic::{AtomicU8, Ordering};

const DISABLED: u8 = 0;
const ENABLED: u8 = 1;
const FAILING: u8 = 2;
const FAILED: u8 = 3;

/// The state of one unit.
pub struct AtomicUnitState(AtomicU8);

/// The state of a unit, as callers see it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum UnitState {
    /// Nothing is translated.
    Disabled,
    /// Requests are translated, and hardware confirms invalidations.
    Enabled,
    /// Hardware failed, and all requesters are blocked by now.
    Failed,
}

impl AtomicUnitState {
    /// Creates the state of a unit that is disabled.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        AtomicUnitState(AtomicU8::new(DISABLED))
    }

    /// Returns the state. While the unit is being failed, calls `wait_until` with the condition that
    /// this has ended, and all requesters are blocked: an error that says "blocked" must be true.
    pub fn get(&self, wait_until: impl FnOnce(&dyn Fn() -> bool)) -> UnitState {
        if self.0.load(Ordering::Acquire) == FAILING {
            wait_until(&|| self.0.load(Ordering::Acquire) != FAILING);
        }
        match self.0.load(Ordering::Acquire) {
            DISABLED => UnitState::Disabled,
            ENABLED => UnitState::Enabled,
            _ => UnitState::Failed,
        }
    }

    /// Returns whether the unit is enabled, without waiting for a unit that is being failed.
    #[inline]
    pub fn is_enabled(&self) -> bool {
        self.0.load(Ordering::Acquire) == ENABLED
    }

    /// Returns whether the unit is disabled.
    pub fn is_disabled(&self) -> bool {
        self.0.load(Ordering::Acquire) == DISABLED
    }

    /// Enables a disabled unit. A failed unit stays failed.
    pub fn enable(&self) {
        self.change(DISABLED, ENABLED);
    }

    /// Disables an enabled unit. A failed unit stays failed.
    pub fn disable(&self) {
        self.change(ENABLED, DISABLED);
    }

    /// Begins to fail an enabled unit. Returns whether the caller is the one that has to block its
    /// requesters.
    pub fn begin_failing(&self) -> bool {
        self.change(ENABLED, FAILING)
    }

    /// Marks a unit as failed that is not enabled, such as one that could not be re-enabled after a
    /// suspend.
    pub fn fail_disabled(&self) {
        self.0.store(FAILED, Ordering::Release);
    }

    /// Completes what [`Self::begin_failing`] began, once all requesters are blocked.
    pub fn end_failing(&self) {
        self.change(FAILING, FAILED);
    }

    fn change(&self, from: u8, to: u8) -> bool {
        self.0
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}
