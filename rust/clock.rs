// SPDX-License-Identifier: GPL-2.0

//! Time for hardware waits: every wait ends.

use crate::bindings;

/// Nanoseconds of the monotonic clock. Any context, NMI included.
#[inline]
pub fn now_ns() -> u64 {
    // SAFETY: Has no preconditions.
    unsafe { bindings::vtd_helper_ktime_get_ns() }
}

/// Tells the processor that it spins. Any context.
#[inline]
pub fn relax() {
    // SAFETY: Has no preconditions.
    unsafe { bindings::vtd_helper_cpu_relax() }
}

/// A wait with an end.
pub struct Deadline(u64);

impl Deadline {
    /// A deadline `ms` milliseconds from now.
    pub fn after_ms(ms: u64) -> Self {
        Deadline(now_ns().saturating_add(ms.saturating_mul(1_000_000)))
    }

    /// Whether it has passed.
    pub fn passed(&self) -> bool {
        now_ns() >= self.0
    }

    /// Spins until `condition` holds; `false` when the deadline came first. Any context.
    pub fn wait_until(&self, mut condition: impl FnMut() -> bool) -> bool {
        loop {
            if condition() {
                return true;
            }
            if self.passed() {
                // Whoever waited may have been scheduled away past the end: look once more.
                return condition();
            }
            relax();
        }
    }
}
