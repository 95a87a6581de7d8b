// SPDX-License-Identifier: GPL-2.0

//! The limit of one device's fault reports: that of [`vtd_core::fault_limit`], asked by the threads
//! that report faults, by attaches and by readers.

use kernel::prelude::*;
use kernel::sync::{new_mutex, Mutex};
use kernel_ext::clock;
use vtd_core::fault_limit::{Limit, Verdict};

/// A [`Limit`] that several threads use.
#[pin_data]
pub(crate) struct RateLimit {
    #[pin]
    limit: Mutex<Limit>,
}

impl RateLimit {
    /// No fault so far.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            limit <- new_mutex!(Limit::new(), "vtd fault limit"),
        })
    }

    /// Counts a fault. May sleep.
    pub(crate) fn count(&self) -> Verdict {
        self.limit.lock().count(clock::now_ns())
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
