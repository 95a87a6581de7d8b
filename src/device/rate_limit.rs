// SPDX-License-Identifier: GPL-2.0

//! How often one device may write to the log.

use core::sync::atomic::{AtomicU64, Ordering};
use kernel_ext::clock;

/// Reports within one window.
const BURST: u64 = 10;
/// Length of a window.
const WINDOW_NS: u64 = 5_000_000_000;

/// Allows [`BURST`] reports in each window, and counts what it holds back.
pub(crate) struct RateLimit {
    window: AtomicU64,
    used: AtomicU64,
    held_back: AtomicU64,
}

/// Whether to report.
pub(crate) enum Verdict {
    /// Yes; and so many were held back before.
    Report(u64),
    /// Not this one.
    HoldBack,
}

impl RateLimit {
    /// A fresh limit.
    pub(crate) fn new() -> Self {
        RateLimit {
            window: AtomicU64::new(0),
            used: AtomicU64::new(0),
            held_back: AtomicU64::new(0),
        }
    }

    /// Asks for one report. Called from one thread at a time (the unit's interrupt thread).
    pub(crate) fn ask(&self) -> Verdict {
        let now = clock::now_ns();
        if now.saturating_sub(self.window.load(Ordering::Relaxed)) > WINDOW_NS {
            self.window.store(now, Ordering::Relaxed);
            self.used.store(0, Ordering::Relaxed);
        }
        if self.used.fetch_add(1, Ordering::Relaxed) < BURST {
            Verdict::Report(self.held_back.swap(0, Ordering::Relaxed))
        } else {
            self.held_back.fetch_add(1, Ordering::Relaxed);
            Verdict::HoldBack
        }
    }
}
