// SPDX-License-Identifier: GPL-2.0

//! The domain-ids of one unit, which tag its cached translations. The caller has a lock for them.
//!
//! A unit has few of them, only 16 or 256 if it is small, and a user that owns a device can make it
//! need one. One id in `RESERVE` is reserved for the kernel's own domains, so that a device that
//! is added later gets a default domain, however many devices users own.

use crate::spec::address::DomainId;
use core::ops::DerefMut;

/// The domain-id of all pass-through entries. All identity domains of a unit share it, because they
/// cache the same translations.
pub const PASS_THROUGH: DomainId = DomainId::new(1);

/// Ids below this are never allocated. A unit in caching mode tags absent entries with 0 (VT-d
/// 6.1), and 1 is [`PASS_THROUGH`].
const FIRST: usize = 2;

/// One in this many ids is not available to users.
const RESERVE: usize = 8;

/// The free and the used ids, with their bitmap in a vector `W`.
pub struct DomainIds<W> {
    /// One bit for each id, up to the highest that was ever allocated. All ids above are free.
    used: W,
    /// All words before this one are full.
    lowest: usize,
    count: usize,
    /// The number of ids in use, including those that are never allocated.
    taken: usize,
}

impl<W> DomainIds<W> {
    /// The only word of the vector that [`Self::new`] takes.
    pub const FIRST_WORD: u64 = (1 << FIRST) - 1;
}

impl<W: DerefMut<Target = [u64]>> DomainIds<W> {
    /// Creates the ids below `count` (`CAP.ND`), with only the reserved ones in use.
    pub fn new(used: W, count: u32) -> Self {
        DomainIds {
            used,
            lowest: 0,
            count: count as usize,
            taken: FIRST,
        }
    }

    /// Stops allocating ids from `count` on. For tests.
    pub fn limit(&mut self, count: u32) {
        self.count = count as usize;
    }

    /// Allocates an id that no domain of the unit has, for a user or not. `push` adds a word to the
    /// vector. [`None`] if no id is left for it.
    ///
    /// # Errors
    ///
    /// The error of `push`.
    pub fn allocate<E>(
        &mut self,
        for_user: bool,
        push: impl FnOnce(&mut W, u64) -> Result<(), E>,
    ) -> Result<Option<DomainId>, E> {
        let kept = if for_user { self.count / RESERVE } else { 0 };
        if self.taken + kept >= self.count {
            return Ok(None);
        }
        while self.used.get(self.lowest) == Some(&u64::MAX) {
            self.lowest += 1;
        }
        let word = self.used.get(self.lowest).copied().unwrap_or(0);
        let id = self.lowest * 64 + word.trailing_ones() as usize;
        let given = match u16::try_from(id) {
            Ok(given) if id < self.count => DomainId::new(given),
            _ => return Ok(None),
        };
        if self.lowest == self.used.len() {
            push(&mut self.used, 0)?;
        }
        if let Some(word) = self.used.get_mut(self.lowest) {
            *word |= 1 << (id % 64);
            self.taken += 1;
        }
        Ok(Some(given))
    }

    /// Frees `id`. No translation may be cached under it any more.
    pub fn free(&mut self, id: DomainId) {
        let id = usize::from(id.raw());
        if let Some(word) = self.used.get_mut(id / 64) {
            self.taken -= (*word >> (id % 64) & 1) as usize;
            *word &= !(1 << (id % 64));
            self.lowest = self.lowest.min(id / 64);
        }
    }

    /// Returns how many ids are allocated.
    pub fn used(&self) -> u32 {
        self.taken.saturating_sub(FIRST) as u32
    }
}
