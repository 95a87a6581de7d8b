// SPDX-License-Identifier: GPL-2.0

//! What happened in a domain, in numbers.

use crate::unit::Mapped;
use kernel::prelude::*;
use kernel_ext::pages::Charge;
use kernel_ext::percpu::Counts;

/// What happened in one domain: counted on the way of every mapping, so by each processor.
pub(super) struct Activity(Counts<6>);

impl Activity {
    /// Nothing yet. [`ENOMEM`].
    pub(super) fn new(charge: Charge) -> Result<Self> {
        Ok(Activity(Counts::new(charge)?))
    }

    /// Counts a mapping of `bytes` bytes. Any context.
    #[inline(always)]
    pub(super) fn count_map(&self, bytes: u64) {
        self.0.one_of::<0, 1>(bytes);
    }

    /// Counts an unmapping of `bytes` bytes. Any context.
    #[inline(always)]
    pub(super) fn count_unmap(&self, bytes: u64) {
        self.0.one_of::<2, 3>(bytes);
    }

    /// Counts that the units forget what was unmapped. Any context.
    #[inline(always)]
    pub(super) fn count_flush(&self) {
        self.0.one::<4>();
    }

    /// Counts that the units forget everything. Any context.
    pub(super) fn count_flush_all(&self) {
        self.0.one::<5>();
    }

    /// What was mapped and unmapped.
    pub(super) fn mapped(&self) -> Mapped {
        Mapped {
            maps: self.0.sum::<0>(),
            unmaps: self.0.sum::<2>(),
            // Unmapped first: no byte that is counted there is missing here.
            unmapped_bytes: self.0.sum::<3>(),
            mapped_bytes: self.0.sum::<1>(),
        }
    }

    /// How often units were made to forget what was unmapped, and how often everything.
    pub(super) fn flushes(&self) -> (u64, u64) {
        (self.0.sum::<4>(), self.0.sum::<5>())
    }
}
