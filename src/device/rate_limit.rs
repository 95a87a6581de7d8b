// SPDX-License-Identifier: GPL-2.0

//! How many lines of the log one device may cost: the limit of [`vtd_core::fault_limit`], for its
//! faults, and for what a user asks of it again and again. Whatever becomes of the device, the
//! window goes on; only when the device goes for good does its limit go.

use core::fmt;
use kernel::prelude::*;
use kernel::sync::{new_mutex, Mutex};
use kernel_ext::clock;
use vtd_core::fault_limit::{FaultLimit, FaultVerdict, WINDOW_S};

/// A [`FaultLimit`] that several threads use.
#[pin_data]
pub(crate) struct RateLimit {
    #[pin]
    limit: Mutex<FaultLimit>,
}

impl RateLimit {
    /// Nothing so far.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            limit <- new_mutex!(FaultLimit::new(), "vtd rate limit"),
        })
    }

    /// Counts a fault. May sleep.
    pub(crate) fn count(&self) -> FaultVerdict {
        self.limit.lock().count(clock::now_ns())
    }

    /// Asks for one line about something else than a fault. May sleep.
    pub(crate) fn allow_line(&self) -> Option<AllowedLine> {
        AllowedLine::from_verdict(self.count())
    }

    /// Whether a line may say that faults are recorded again. May sleep.
    pub(crate) fn may_announce(&self) -> bool {
        self.limit.lock().may_announce(clock::now_ns())
    }

    /// Faults in all, and those not shown. May sleep.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let limit = self.limit.lock();
        (limit.total(), limit.suppressed())
    }
}

/// A line that may be written; what is to be at its end.
pub(crate) struct AllowedLine {
    suppressed: u64,
    last: bool,
}

impl AllowedLine {
    /// Whether a line may be written, by the verdict of its limit.
    pub(super) fn from_verdict(verdict: FaultVerdict) -> Option<Self> {
        match verdict {
            FaultVerdict::Report { suppressed, last } => Some(AllowedLine { suppressed, last }),
            FaultVerdict::Suppress | FaultVerdict::Silence { .. } => None,
        }
    }
}

impl fmt::Display for AllowedLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.suppressed > 0 {
            write!(f, " ({} earlier lines were suppressed)", self.suppressed)?;
        }
        if self.last {
            write!(f, " (further lines are suppressed for up to {WINDOW_S} s)")?;
        }
        Ok(())
    }
}
