// SPDX-License-Identifier: GPL-2.0

//! The arithmetic of times.

use core::fmt;
use kernel_ext::bench::measure;

/// Rounds before times count, and with them counting.
pub(crate) const WARM_UP: u32 = 8;
pub(crate) const REPETITIONS: u32 = 64;

/// Ticks that a number of equal operations took.
#[derive(Default)]
pub(crate) struct Counts {
    least: u64,
    most: u64,
    sum: u64,
    count: u32,
}

impl Counts {
    pub(crate) fn add(&mut self, ticks: u64) {
        if self.count == 0 || ticks < self.least {
            self.least = ticks;
        }
        self.most = self.most.max(ticks);
        self.sum += ticks;
        self.count += 1;
    }

    /// The same without the cost of timing.
    pub(crate) fn net(&self) -> Net {
        let clock = empty();
        let tenths = self.sum * 10 / u64::from(self.count.max(1));
        Net {
            least: self.least.saturating_sub(clock),
            most: self.most.saturating_sub(clock),
            tenths: tenths.saturating_sub(clock * 10),
            count: self.count,
        }
    }
}

/// What an empty statement takes.
pub(crate) fn empty() -> u64 {
    let mut tally = Counts::default();
    for _ in 0..REPETITIONS {
        tally.add(measure::ticks(|| ()).0);
    }
    tally.least
}

/// What operations took by themselves.
pub(crate) struct Net {
    least: u64,
    most: u64,
    tenths: u64,
    count: u32,
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, tenth) = (self.tenths / 10, self.tenths % 10);
        write!(
            f,
            "least={} most={} mean={whole}.{tenth} count={}",
            self.least, self.most, self.count
        )
    }
}
