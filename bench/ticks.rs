// SPDX-License-Identifier: GPL-2.0

//! Statistics of measured times.

use core::fmt;
use kernel_ext::bench::measure;

/// Rounds that are not counted, before the [`REPETITIONS`] that are.
pub(crate) const WARM_UP: u32 = 8;
pub(crate) const REPETITIONS: u32 = 64;

/// The ticks of a number of equal operations.
#[derive(Default)]
pub(crate) struct TickStats {
    min: u64,
    max: u64,
    sum: u64,
    count: u32,
}

impl TickStats {
    /// Adds the ticks of one operation.
    pub(crate) fn add(&mut self, ticks: u64) {
        if self.count == 0 || ticks < self.min {
            self.min = ticks;
        }
        self.max = self.max.max(ticks);
        self.sum += ticks;
        self.count += 1;
    }

    /// Returns the statistics without the overhead of the measurement.
    pub(crate) fn without_overhead(&self) -> NetTicks {
        let clock = timing_overhead();
        let tenths = self.sum * 10 / u64::from(self.count.max(1));
        NetTicks {
            min: self.min.saturating_sub(clock),
            max: self.max.saturating_sub(clock),
            tenths: tenths.saturating_sub(clock * 10),
            count: self.count,
        }
    }
}

/// Measures the ticks of an empty closure.
pub(crate) fn timing_overhead() -> u64 {
    let mut stats = TickStats::default();
    for _ in 0..REPETITIONS {
        stats.add(measure::ticks(|| ()).0);
    }
    stats.min
}

/// The ticks of operations, without the overhead of the measurement.
pub(crate) struct NetTicks {
    min: u64,
    max: u64,
    tenths: u64,
    count: u32,
}

impl fmt::Display for NetTicks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, tenth) = (self.tenths / 10, self.tenths % 10);
        write!(
            f,
            "least={} most={} mean={whole}.{tenth} count={}",
            self.min, self.max, self.count
        )
    }
}
