// SPDX-License-Identifier: GPL-2.0

//! Whether a unit serves.
//!
//! Stopped → serving → stopped, and from serving to closed when hardware fails, which is for good. A
//! unit that does not come back from a sleep goes from stopped to closed.

use core::sync::atomic::{AtomicU8, Ordering};
use kernel_ext::clock::Deadline;

const STOPPED: u8 = 0;
const SERVING: u8 = 1;
const CLOSING: u8 = 2;
const CLOSED: u8 = 3;

/// Longer than all the register commands of closing can take together.
const CLOSING_MS: u64 = 7 * super::registers::TIME_OUT_MS;

/// The state of one unit.
pub(super) struct Service(AtomicU8);

/// What a caller can rely on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing is translated.
    Stopped,
    /// Invalidations are confirmed by hardware.
    Serving,
    /// Hardware failed, and all requesters are blocked by now.
    Closed,
}

impl Service {
    /// Stopped.
    pub(super) fn new() -> Self {
        Service(AtomicU8::new(STOPPED))
    }

    /// The state. Whoever comes while the unit is being closed waits until it is: an error that
    /// says "blocked" must be true. Any context.
    pub(super) fn state(&self) -> State {
        if self.0.load(Ordering::Acquire) == CLOSING {
            Deadline::after_ms(CLOSING_MS).wait_until(|| self.0.load(Ordering::Acquire) != CLOSING);
        }
        match self.0.load(Ordering::Acquire) {
            STOPPED => State::Stopped,
            SERVING => State::Serving,
            _ => State::Closed,
        }
    }

    /// Whether invalidations can be relied on; the quick question.
    #[inline]
    pub(super) fn is_serving(&self) -> bool {
        self.0.load(Ordering::Acquire) == SERVING
    }

    /// Whether nothing is translated.
    pub(super) fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Acquire) == STOPPED
    }

    /// From stopped to serving; a closed unit stays closed.
    pub(super) fn start(&self) {
        self.change(STOPPED, SERVING);
    }

    /// From serving to stopped; a closed unit stays closed.
    pub(super) fn stop(&self) {
        self.change(SERVING, STOPPED);
    }

    /// Whether the caller is the one who closes the unit.
    pub(super) fn begin_closing(&self) -> bool {
        self.change(SERVING, CLOSING)
    }

    /// Closes a unit that is not serving, such as one that did not come back from a sleep.
    pub(super) fn close_stopped(&self) {
        self.0.store(CLOSED, Ordering::Release);
    }

    /// All requesters are blocked.
    pub(super) fn end_closing(&self) {
        self.change(CLOSING, CLOSED);
    }

    fn change(&self, from: u8, to: u8) -> bool {
        self.0
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}
