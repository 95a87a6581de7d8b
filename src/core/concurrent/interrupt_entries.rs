// SPDX-License-Identifier: GPL-2.0

//! Which entries of the interrupt remapping table are in use, and by which device. The caller has a
//! lock for them.

use crate::spec::address::SourceId;
use core::ops::DerefMut;

/// The entries of one table, in a vector `O`.
pub struct InterruptEntries<O> {
    /// The device that each entry belongs to; [`None`] for a free one.
    owners: O,
    used: usize,
}

impl<O: DerefMut<Target = [Option<SourceId>]>> InterruptEntries<O> {
    /// Creates the entries, as many as there are `owners`, each of which is [`None`].
    pub fn new(owners: O) -> Self {
        Self { owners, used: 0 }
    }

    /// Returns the number of entries in use.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Returns the device that an entry belongs to.
    pub fn owner(&self, index: usize) -> Option<SourceId> {
        self.owners.get(index).copied().flatten()
    }

    /// Makes place for a table of `count` entries: `extend` adds a number of [`None`]s.
    ///
    /// # Errors
    ///
    /// The error of `extend`.
    pub fn grow<E>(
        &mut self,
        count: usize,
        extend: impl FnOnce(&mut O, usize) -> Result<(), E>,
    ) -> Result<(), E> {
        let more = count.saturating_sub(self.owners.len());
        extend(&mut self.owners, more)
    }

    /// Takes `count` consecutive free entries for `owner`, and returns the first one; [`None`] if
    /// there are none. They are aligned to a power of two that is not below `count`, as the
    /// messages of a device with conventional MSI must be.
    pub fn take(&mut self, count: usize, owner: SourceId) -> Option<usize> {
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
    pub fn free(&mut self, first: usize, count: usize) {
        for entry in self.owners.iter_mut().skip(first).take(count) {
            if entry.take().is_some() {
                self.used -= 1;
            }
        }
    }
}
