// SPDX-License-Identifier: GPL-2.0

//! Which entries of the interrupt remapping table are in use, and by which device.

use kernel::prelude::*;
use vtd_core::spec::address::SourceId;

/// The entries of one table.
pub(super) struct Entries {
    /// The device that each entry belongs to; [`None`] for a free one.
    owners: KVVec<Option<SourceId>>,
    used: usize,
}

impl Entries {
    /// Creates `count` free entries.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(super) fn new(count: usize) -> Result<Self> {
        let mut owners = KVVec::new();
        owners.extend_with(count, None, GFP_KERNEL)?;
        Ok(Entries { owners, used: 0 })
    }

    /// Returns the number of entries in use.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// Returns the device that an entry belongs to.
    pub(super) fn owner(&self, index: usize) -> Option<SourceId> {
        self.owners.get(index).copied().flatten()
    }

    /// Reserves memory for a table of `count` entries.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(super) fn grow(&mut self, count: usize) -> Result {
        let more = count.saturating_sub(self.owners.len());
        Ok(self.owners.extend_with(more, None, GFP_KERNEL)?)
    }

    /// Takes `count` consecutive free entries for `owner`, and returns the first one; [`None`] if
    /// there are none. They are aligned to a power of two that is not below `count`, as the
    /// messages of a device with conventional MSI must be.
    pub(super) fn take(&mut self, count: usize, owner: SourceId) -> Option<usize> {
        let step = count.max(1).next_power_of_two();
        let mut places = self.owners.chunks_exact_mut(step).enumerate();
        let (at, place) = places.find(|(_, place)| place.iter().all(Option::is_none))?;
        for entry in place.iter_mut().take(count) {
            *entry = Some(owner);
        }
        self.used += count;
        Some(at * step)
    }

    /// Frees `count` entries from `first`.
    pub(super) fn free(&mut self, first: usize, count: usize) {
        for entry in self.owners.iter_mut().skip(first).take(count) {
            if entry.take().is_some() {
                self.used -= 1;
            }
        }
    }
}
