// SPDX-License-Identifier: GPL-2.0

//! Domain-ids of one unit: tags of its caches.
//!
//! A unit has few of them, 16 or 256 where it is small, and whoever owns a device can make it need
//! one. The last [`RESERVE`]th is for the kernel's own domains, so that a device that comes later
//! has a default domain, however many devices users own.

use kernel::prelude::*;
use vtd_core::spec::address::DomainId;

/// Tag of all pass-through entries. Identity domains of a unit share it: what they cache is the
/// same.
pub(crate) const PASS_THROUGH: DomainId = DomainId::new(1);

/// Ids below this are never given out: 0 is what a unit with caching mode tags absent entries
/// with (VT-d 6.1), 1 is [`PASS_THROUGH`].
const FIRST: usize = 2;

/// One in so many ids is not for users.
const RESERVE: usize = 8;

/// Who needs a domain-id.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum DomainIdOwner {
    /// The kernel, for a domain of the DMA API.
    Kernel,
    /// A user, or a driver with a domain of its own.
    User,
}

/// The free and the used ids.
pub(crate) struct DomainIds {
    /// As far as ids were ever given out; what comes behind is free.
    used: KVec<u64>,
    /// All words before this one are full.
    lowest: usize,
    count: usize,
    /// How many are in use, those that are never given out included.
    taken: usize,
}

impl DomainIds {
    /// All ids below `count` (`CAP.ND`), the reserved ones taken.
    pub(crate) fn new(count: u32) -> Result<Self> {
        let used = KVec::from_elem((1u64 << FIRST) - 1, 1, GFP_KERNEL)?;
        Ok(DomainIds {
            used,
            lowest: 0,
            count: count as usize,
            taken: FIRST,
        })
    }

    /// Gives out no id from `count` on any more. For tests.
    pub(crate) fn limit(&mut self, count: u32) {
        self.count = count as usize;
    }

    /// An id that no domain of the unit has; [`ENOSPC`] if there is none left for `id_owner`,
    /// [`ENOMEM`]. May sleep.
    pub(crate) fn allocate(&mut self, id_owner: DomainIdOwner) -> Result<DomainId> {
        let kept = match id_owner {
            DomainIdOwner::Kernel => 0,
            DomainIdOwner::User => self.count / RESERVE,
        };
        if self.taken + kept >= self.count {
            return Err(ENOSPC);
        }
        while self.used.get(self.lowest) == Some(&u64::MAX) {
            self.lowest += 1;
        }
        let word = self.used.get(self.lowest).copied().unwrap_or(0);
        let id = self.lowest * 64 + word.trailing_ones() as usize;
        if id >= self.count {
            return Err(ENOSPC);
        }
        let given = DomainId::new(u16::try_from(id)?);
        if self.lowest == self.used.len() {
            self.used.push(0, GFP_KERNEL)?;
        }
        if let Some(word) = self.used.get_mut(self.lowest) {
            *word |= 1 << (id % 64);
            self.taken += 1;
        }
        Ok(given)
    }

    /// Gives `id` back: nothing may be cached under it any more.
    pub(crate) fn free(&mut self, id: DomainId) {
        let id = usize::from(id.raw());
        if let Some(word) = self.used.get_mut(id / 64) {
            self.taken -= (*word >> (id % 64) & 1) as usize;
            *word &= !(1 << (id % 64));
            self.lowest = self.lowest.min(id / 64);
        }
    }

    /// How many are given out.
    pub(crate) fn used(&self) -> u32 {
        self.taken.saturating_sub(FIRST) as u32
    }
}
