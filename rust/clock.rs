// SPDX-License-Identifier: GPL-2.0

//! Clocks, and deadlines for waits on hardware: every such wait ends.

use crate::bindings;
use core::fmt;

/// Returns the nanoseconds of the monotonic clock.
///
/// # Context
///
/// Any context, NMI included.
#[inline]
pub fn now_ns() -> u64 {
    // SAFETY: Has no preconditions.
    unsafe { bindings::vtd_helper_ktime_get_ns() }
}

/// Hints to the processor that this is a spin loop.
///
/// # Context
///
/// Any context.
#[inline]
pub fn cpu_relax() {
    kernel::processor::cpu_relax()
}

/// The end of a wait.
pub struct Deadline(u64);

impl Deadline {
    /// Sets a deadline `ms` milliseconds from now.
    pub fn after_ms(ms: u64) -> Self {
        Deadline(now_ns().saturating_add(ms.saturating_mul(1_000_000)))
    }

    /// Returns whether it has passed.
    pub fn passed(&self) -> bool {
        now_ns() >= self.0
    }

    /// Spins until `condition` holds; returns `false` if the deadline came first.
    ///
    /// # Context
    ///
    /// Any context.
    pub fn wait_until(&self, mut condition: impl FnMut() -> bool) -> bool {
        loop {
            if condition() {
                return true;
            }
            if self.passed() {
                // This thread may have been preempted past the deadline: check once more.
                return condition();
            }
            cpu_relax();
        }
    }
}

/// A moment in time in `jiffies`: a resolution of a few milliseconds, but a plain load to read.
///
/// The lowest 40 bits of the count: enough for 34 years at the fastest rate.
#[derive(Clone, Copy)]
pub struct Jiffies(u64);

impl Jiffies {
    /// Bits of the count that are kept.
    pub const BITS: u32 = 40;
    const MASK: u64 = (1 << Self::BITS) - 1;

    /// Returns this moment.
    ///
    /// # Context
    ///
    /// Any context.
    #[inline(always)]
    pub fn now() -> Self {
        // SAFETY: `jiffies` lives as long as the kernel, and is read as C reads it.
        Jiffies(unsafe { (&raw const bindings::jiffies).read_volatile() } as u64)
    }

    /// Creates the moment with this count; only its lowest 40 bits are used.
    #[inline(always)]
    pub const fn from_raw(raw: u64) -> Self {
        Jiffies(raw & Self::MASK)
    }

    /// Returns the count; bits above [`Jiffies::BITS`] are to be ignored.
    #[inline(always)]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// Returns whether it is later than `other`.
    pub const fn is_after(self, other: Jiffies) -> bool {
        let ahead = self.0.wrapping_sub(other.0) & Self::MASK;
        ahead != 0 && ahead <= Self::MASK / 2
    }

    /// Returns how long ago it was.
    pub fn age(self) -> Age {
        let ticks = Self::now().0.wrapping_sub(self.0) & Self::MASK;
        // SAFETY: Have no preconditions.
        let (age, tick) = unsafe {
            (
                bindings::jiffies64_to_msecs(ticks),
                bindings::jiffies64_to_msecs(1),
            )
        };
        Age {
            ms: age,
            tick_ms: tick,
        }
    }
}

/// How long ago something was, to be printed.
#[derive(Clone, Copy)]
pub struct Age {
    ms: u64,
    tick_ms: u64,
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ms {
            ms if ms < self.tick_ms => write!(f, "less than {} ms", self.tick_ms),
            ms if ms < 10_000 => write!(f, "{ms} ms"),
            ms => write!(f, "{} s", ms / 1000),
        }
    }
}
