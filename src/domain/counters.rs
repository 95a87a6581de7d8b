// SPDX-License-Identifier: GPL-2.0

//! What happened in a domain, in numbers.

use crate::unit::MapCounts;
use kernel::prelude::*;
use kernel_ext::pages::Charge;
use kernel_ext::percpu::PerCpuCounters;

/// What happened in one domain: counted on the way of every mapping, so by each processor.
pub(super) struct DomainCounters(PerCpuCounters<6>);

impl DomainCounters {
    /// Nothing yet. [`ENOMEM`].
    pub(super) fn new(charge: Charge) -> Result<Self> {
        Ok(DomainCounters(PerCpuCounters::new(charge)?))
    }

    /// Counts a mapping of `bytes` bytes. Any context.
    #[inline(always)]
    pub(super) fn count_map(&self, bytes: u64) {
        self.0.inc_and_add::<0, 1>(bytes);
    }

    /// Counts an unmapping of `bytes` bytes. Any context.
    #[inline(always)]
    pub(super) fn count_unmap(&self, bytes: u64) {
        self.0.inc_and_add::<2, 3>(bytes);
    }

    /// Counts that the units forget what was unmapped. Any context.
    #[inline(always)]
    pub(super) fn count_flush(&self) {
        self.0.inc::<4>();
    }

    /// Counts that the units forget everything. Any context.
    pub(super) fn count_flush_all(&self) {
        self.0.inc::<5>();
    }

    /// What was mapped and unmapped.
    pub(super) fn mapped(&self) -> MapCounts {
        MapCounts {
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
