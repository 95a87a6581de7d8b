// SPDX-License-Identifier: GPL-2.0

//! Counters of one domain: maps, unmaps, bytes, flushes.

use super::holding::HeldCounts;
use kernel::prelude::*;
use kernel_ext::pages::Charge;
use kernel_ext::percpu::PerCpuCounters;

/// Counts of what was mapped and unmapped.
#[derive(Clone, Copy, Default)]
pub(crate) struct MapCounts {
    /// Map operations.
    pub(crate) maps: u64,
    /// Unmap operations.
    pub(crate) unmaps: u64,
    /// Bytes mapped.
    pub(crate) mapped_bytes: u64,
    /// Bytes unmapped.
    pub(crate) unmapped_bytes: u64,
    /// Memory that was held.
    pub(crate) held: HeldCounts,
}

impl MapCounts {
    /// Adds the counts of `other`.
    pub(crate) fn add(&mut self, other: MapCounts) {
        self.maps = self.maps.wrapping_add(other.maps);
        self.unmaps = self.unmaps.wrapping_add(other.unmaps);
        self.mapped_bytes = self.mapped_bytes.wrapping_add(other.mapped_bytes);
        self.unmapped_bytes = self.unmapped_bytes.wrapping_add(other.unmapped_bytes);
        self.held.add(other.held);
    }
}

/// Counters of one domain. They are per CPU, because every map and unmap increments them.
pub(super) struct DomainCounters(PerCpuCounters<6>);

impl DomainCounters {
    /// Allocates the counters, all 0.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(super) fn new(charge: Charge) -> Result<Self> {
        Ok(DomainCounters(PerCpuCounters::new(charge)?))
    }

    /// Counts a mapping of `bytes` bytes.
    ///
    /// # Context
    ///
    /// Any context.
    #[inline(always)]
    pub(super) fn count_map(&self, bytes: u64) {
        self.0.inc_and_add::<0, 1>(bytes);
    }

    /// Counts an unmapping of `bytes` bytes.
    ///
    /// # Context
    ///
    /// Any context.
    #[inline(always)]
    pub(super) fn count_unmap(&self, bytes: u64) {
        self.0.inc_and_add::<2, 3>(bytes);
    }

    /// Counts an invalidation of a range.
    ///
    /// # Context
    ///
    /// Any context.
    #[inline(always)]
    pub(super) fn count_flush(&self) {
        self.0.inc::<4>();
    }

    /// Counts an invalidation of the whole domain.
    ///
    /// # Context
    ///
    /// Any context.
    pub(super) fn count_flush_all(&self) {
        self.0.inc::<5>();
    }

    /// Returns how much was mapped and unmapped.
    pub(super) fn mapped(&self) -> MapCounts {
        MapCounts {
            maps: self.0.sum::<0>(),
            unmaps: self.0.sum::<2>(),
            // Read before `mapped_bytes`, so that never more is unmapped than mapped.
            unmapped_bytes: self.0.sum::<3>(),
            mapped_bytes: self.0.sum::<1>(),
            held: HeldCounts::default(),
        }
    }

    /// Returns the numbers of range invalidations and of invalidations of the whole domain.
    pub(super) fn flushes(&self) -> (u64, u64) {
        (self.0.sum::<4>(), self.0.sum::<5>())
    }
}
