// SPDX-License-Identifier: GPL-2.0

//! How often one device may write to the log, and when it has raised enough.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use kernel_ext::clock;

/// Reports within one window.
const BURST: u64 = 10;
/// Faults within one window that make a storm: far above what a driver that is merely wrong
/// causes, far below what costs other devices their records.
const STORM: u64 = 1000;
/// Length of a window.
const WINDOW_NS: u64 = 5_000_000_000;
/// The same in seconds, for messages.
pub(crate) const WINDOW_S: u64 = WINDOW_NS / 1_000_000_000;

/// Allows [`BURST`] reports in each window, counts what it holds back, and tells a storm.
///
/// Asked by one thread at a time, the unit's interrupt thread; read by any.
pub(crate) struct RateLimit {
    window: AtomicU64,
    in_window: AtomicU64,
    held_back: AtomicU64,
    total: AtomicU64,
    silenced: AtomicBool,
}

/// Whether to report.
pub(crate) enum Verdict {
    /// Yes.
    Report {
        /// So many were held back before.
        held_back: u64,
        /// It is the last one for now.
        last: bool,
    },
    /// Not this one.
    HoldBack,
    /// It was one too many: so many came within this time.
    Storm {
        /// Faults in this window.
        faults: u64,
        /// Milliseconds since it began.
        ms: u64,
    },
}

impl RateLimit {
    /// A fresh limit.
    pub(crate) fn new() -> Self {
        RateLimit {
            window: AtomicU64::new(0),
            in_window: AtomicU64::new(0),
            held_back: AtomicU64::new(0),
            total: AtomicU64::new(0),
            silenced: AtomicBool::new(false),
        }
    }

    /// Asks for one report.
    pub(crate) fn ask(&self) -> Verdict {
        let now = clock::now_ns();
        if now.saturating_sub(self.window.load(Relaxed)) > WINDOW_NS {
            self.window.store(now, Relaxed);
            self.in_window.store(0, Relaxed);
        }
        self.total.fetch_add(1, Relaxed);
        let faults = self.in_window.fetch_add(1, Relaxed) + 1;
        if faults <= BURST {
            return Verdict::Report {
                held_back: self.held_back.swap(0, Relaxed),
                last: faults == BURST,
            };
        }
        self.held_back.fetch_add(1, Relaxed);
        if faults == STORM {
            let began = self.window.load(Relaxed);
            let ms = now.saturating_sub(began) / 1_000_000;
            return Verdict::Storm { faults, ms };
        }
        Verdict::HoldBack
    }

    /// Notes that hardware was told to record no more.
    pub(crate) fn set_silenced(&self) {
        self.silenced.store(true, Relaxed)
    }

    /// Begins anew, as hardware records again. Whether it had been told not to.
    pub(crate) fn start_anew(&self) -> bool {
        self.window.store(0, Relaxed);
        self.silenced.swap(false, Relaxed)
    }

    /// Faults in all; those not shown; whether hardware records no more.
    pub(crate) fn counts(&self) -> (u64, u64, bool) {
        (
            self.total.load(Relaxed),
            self.held_back.load(Relaxed),
            self.silenced.load(Relaxed),
        )
    }
}
