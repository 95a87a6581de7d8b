// SPDX-License-Identifier: GPL-2.0

//! Lines of the log that a user can cause, again and again, by what he asks for one device.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use kernel_ext::clock;
use vtd_core::fault_limit::{BURST, WINDOW_NS, WINDOW_S};

/// Allows one device a burst of such lines in each window, whatever they say and whatever becomes of
/// the device; only when the device goes for good does its limit go.
pub(crate) struct LogLimit {
    began: AtomicU64,
    in_window: AtomicU64,
    held_back: AtomicU64,
}

/// A line that may be written; what is to stand at its end.
pub(crate) struct Allowed {
    held_back: u64,
    last: bool,
}

impl LogLimit {
    /// A fresh limit.
    pub(crate) fn new() -> Self {
        LogLimit {
            began: AtomicU64::new(0),
            in_window: AtomicU64::new(0),
            held_back: AtomicU64::new(0),
        }
    }

    /// Asks for one line. Threads that ask at once may begin a window twice, and then have two
    /// bursts in it. Any context.
    pub(crate) fn ask(&self) -> Option<Allowed> {
        let now = clock::now_ns();
        if now.saturating_sub(self.began.load(Relaxed)) > WINDOW_NS {
            self.began.store(now, Relaxed);
            self.in_window.store(0, Relaxed);
        }
        let lines = self.in_window.fetch_add(1, Relaxed) + 1;
        if lines > BURST {
            self.held_back.fetch_add(1, Relaxed);
            return None;
        }
        Some(Allowed {
            held_back: self.held_back.swap(0, Relaxed),
            last: lines == BURST,
        })
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
