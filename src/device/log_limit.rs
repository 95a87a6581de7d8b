// SPDX-License-Identifier: GPL-2.0

//! Lines of the log that a user can cause, again and again, by what he asks for one device.

use super::rate_limit::{RateLimit, Verdict, WINDOW_S};
use core::fmt;

/// Allows one device a burst of such lines in each window, whatever they say and whatever becomes of
/// the device; only when the device goes for good does its limit go.
pub(crate) struct LogLimit(RateLimit);

/// A line that may be written; what is to stand at its end.
pub(crate) struct Allowed {
    held_back: u64,
    last: bool,
}

impl LogLimit {
    /// A fresh limit.
    pub(crate) fn new() -> Self {
        LogLimit(RateLimit::new())
    }

    /// Asks for one line. Not from two threads at once.
    pub(crate) fn ask(&self) -> Option<Allowed> {
        match self.0.ask() {
            Verdict::Report { held_back, last } => Some(Allowed { held_back, last }),
            Verdict::HoldBack | Verdict::Storm { .. } => None,
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.held_back > 0 {
            write!(
                f,
                " ({} lines before this one were held back)",
                self.held_back
            )?;
        }
        if self.last {
            write!(f, " (further lines are held back for up to {WINDOW_S} s)")?;
        }
        Ok(())
    }
}
