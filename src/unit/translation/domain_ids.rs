// SPDX-License-Identifier: GPL-2.0

//! The domain-ids of one unit, which tag its cached translations.
//!
//! A unit has few of them, only 16 or 256 if it is small, and a user that owns a device can make it
//! need one. One id in [`RESERVE`] is reserved for the kernel's own domains, so that a device that
//! is added later gets a default domain, however many devices users own.

use kernel::prelude::*;
use vtd_core::spec::address::DomainId;

/// The domain-id of all pass-through entries. All identity domains of a unit share it, because they
/// cache the same translations.
pub(crate) const PASS_THROUGH: DomainId = DomainId::new(1);

/// Ids below this are never allocated. A unit in caching mode tags absent entries with 0 (VT-d
/// 6.1), and 1 is [`PASS_THROUGH`].
const FIRST: usize = 2;

/// One in this many ids is not available to users.
const RESERVE: usize = 8;

/// For whom a domain-id is allocated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum DomainIdOwner {
    /// The kernel: a domain of the DMA API.
    Kernel,
    /// A user, or a driver with a domain that it allocated itself.
    User,
}

/// The free and the used ids.
pub(crate) struct DomainIds {
    /// One bit for each id, up to the highest that was ever allocated. All ids above are free.
    used: KVec<u64>,
    /// All words before this one are full.
    lowest: usize,
    count: usize,
    /// The number of ids in use, including those that are never allocated.
    taken: usize,
}

impl DomainIds {
    /// Creates the ids below `count` (`CAP.ND`), with only the reserved ones in use.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(crate) fn new(count: u32) -> Result<Self> {
        let used = KVec::from_elem((1u64 << FIRST) - 1, 1, GFP_KERNEL)?;
        Ok(DomainIds {
            used,
            lowest: 0,
            count: count as usize,
            taken: FIRST,
        })
    }

    /// Stops allocating ids from `count` on. For tests.
    pub(crate) fn limit(&mut self, count: u32) {
        self.count = count as usize;
    }

    /// Allocates an id that no domain of the unit has.
    ///
    /// # Errors
    ///
    /// [`ENOSPC`]: none is left for `id_owner`. [`ENOMEM`] if an allocation fails.
    ///
    /// # Context
    ///
    /// May sleep.
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

    /// Frees `id`. No translation may be cached under it any more.
    pub(crate) fn free(&mut self, id: DomainId) {
        let id = usize::from(id.raw());
        if let Some(word) = self.used.get_mut(id / 64) {
            self.taken -= (*word >> (id % 64) & 1) as usize;
            *word &= !(1 << (id % 64));
            self.lowest = self.lowest.min(id / 64);
        }
    }

    /// Returns how many ids are allocated.
    pub(crate) fn used(&self) -> u32 {
        self.taken.saturating_sub(FIRST) as u32
    }
}
