// SPDX-License-Identifier: GPL-2.0

//! How many lines of the log one device may cost: the limit of [`vtd_core::fault_limit`], for its
//! faults, and for what a user asks of it again and again. Whatever becomes of the device, the
//! window goes on; only when the device goes for good does its limit go.

use core::fmt;
use kernel::prelude::*;
use kernel::sync::{new_mutex, Mutex};
use kernel_ext::clock;
use vtd_core::fault_limit::{Limit, Verdict, WINDOW_S};

/// A [`Limit`] that several threads use.
#[pin_data]
pub(crate) struct RateLimit {
    #[pin]
    limit: Mutex<Limit>,
}

impl RateLimit {
    /// Nothing so far.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            limit <- new_mutex!(Limit::new(), "vtd rate limit"),
        })
    }

    /// Counts a fault. May sleep.
    pub(crate) fn count(&self) -> Verdict {
        self.limit.lock().count(clock::now_ns())
    }

    /// Asks for one line about something else than a fault. May sleep.
    pub(crate) fn ask(&self) -> Option<Allowed> {
        Allowed::by(self.count())
    }

    /// Whether a line may say that faults are recorded again. May sleep.
    pub(crate) fn may_announce(&self) -> bool {
        self.limit.lock().may_announce(clock::now_ns())
    }

    /// Faults in all, and those not shown. May sleep.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let limit = self.limit.lock();
        (limit.total(), limit.held_back())
    }
}

/// A line that may be written; what is to be at its end.
pub(crate) struct Allowed {
    held_back: u64,
    last: bool,
}

impl Allowed {
    /// Whether a line may be written, by the verdict of its limit.
    pub(super) fn by(verdict: Verdict) -> Option<Self> {
        match verdict {
            Verdict::Report { held_back, last } => Some(Allowed { held_back, last }),
            Verdict::HoldBack | Verdict::Silence { .. } => None,
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.held_back > 0 {
            write!(f, " ({} earlier lines were suppressed)", self.held_back)?;
        }
        if self.last {
            write!(f, " (further lines are suppressed for up to {WINDOW_S} s)")?;
        }
        Ok(())
    }
}
