// SPDX-License-Identifier: GPL-2.0

//! Domain-ids of one unit: tags of its caches.

use kernel::prelude::*;
use vtd_core::spec::address::DomainId;

/// Tag of all pass-through entries. Identity domains of a unit share it: what they cache is the
/// same.
pub(crate) const PASS_THROUGH: DomainId = DomainId::new(1);

/// Ids below this are never given out: 0 is what a unit with caching mode tags absent entries
/// with (VT-d 6.1), 1 is [`PASS_THROUGH`].
const FIRST: usize = 2;

/// The free and the used ids.
pub(crate) struct DomainIds {
    used: KVec<u64>,
    count: usize,
}

impl DomainIds {
    /// All ids below `count` (`CAP.ND`), the reserved ones taken.
    pub(crate) fn new(count: u32) -> Result<Self> {
        let count = count as usize;
        let mut used = KVec::from_elem(0u64, count.div_ceil(64), GFP_KERNEL)?;
        if let Some(first) = used.first_mut() {
            *first = (1 << FIRST) - 1;
        }
        Ok(DomainIds { used, count })
    }

    /// An id that no domain of the unit has; [`ENOSPC`] if there is none left.
    pub(crate) fn allocate(&mut self) -> Result<DomainId> {
        for (index, word) in self.used.iter_mut().enumerate() {
            let bit = word.trailing_ones() as usize;
            let id = index * 64 + bit;
            if bit < 64 && id < self.count {
                *word |= 1 << bit;
                return Ok(DomainId::new(u16::try_from(id)?));
            }
        }
        Err(ENOSPC)
    }

    /// Gives `id` back: nothing may be cached under it any more.
    pub(crate) fn free(&mut self, id: DomainId) {
        let id = usize::from(id.raw());
        if let Some(word) = self.used.get_mut(id / 64) {
            *word &= !(1 << (id % 64));
        }
    }

    /// How many are given out.
    pub(crate) fn used(&self) -> u32 {
        let all: u32 = self.used.iter().map(|word| word.count_ones()).sum();
        all.saturating_sub(FIRST as u32)
    }
}
