// SPDX-License-Identifier: GPL-2.0

//! How many log lines one device may cause: the limit of [`vtd_core::fault_limit`], for its faults
//! and for repeated requests of a user. A window continues whatever happens to the device. The
//! limit is removed only with the device.

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
    /// Creates a limit with nothing counted.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            limit <- new_mutex!(FaultLimit::new(), "vtd rate limit"),
        })
    }

    /// Counts a fault and returns what to do about it.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn count(&self) -> FaultVerdict {
        self.limit.lock().count(clock::now_ns())
    }

    /// Counts one line about something other than a fault. Returns it if it may be written.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn allow_line(&self) -> Option<AllowedLine> {
        AllowedLine::from_verdict(self.count())
    }

    /// Returns whether the log may say that faults are recorded again.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn may_announce(&self) -> bool {
        self.limit.lock().may_announce(clock::now_ns())
    }

    /// Returns the number of faults, and how many of them were not logged.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let limit = self.limit.lock();
        (limit.total(), limit.suppressed())
    }
}

/// The permission to write one log line. Its [`Display`](fmt::Display) form is the end of the line:
/// how many lines were suppressed.
pub(crate) struct AllowedLine {
    suppressed: u64,
    last: bool,
}

impl AllowedLine {
    /// Converts the verdict of a limit: [`None`] if no line may be written.
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
