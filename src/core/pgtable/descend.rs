// SPDX-License-Identifier: GPL-2.0

//! The fast path: requests that need a few runs of entries in tables that exist and stay.
//!
//! Nearly all requests are of this kind: a page, a buffer, a large page. The fast path descends to
//! a table, writes a run of entries, and descends to the next table.

use super::format::Format;
use super::level::{TableLevel, L1, L2, L3, L4, L5};
use super::memory::TableMemory;
use super::{PageTable, Top};
use crate::spec::level::TABLE_ENTRIES;

impl<M: TableMemory> PageTable<M> {
    /// Returns the level-3 table that serves `iova`, if there is one. Every tree has this level,
    /// and no table above it holds leaves.
    #[inline(always)]
    pub(super) fn level3(&self, mem: &M, iova: u64) -> Option<M::Table<L3>> {
        match self.top {
            Top::L4(top) => mem.child(top, L4::index(iova)),
            Top::L3(top) => Some(top),
            Top::L5(top) => mem.child(mem.child(top, L5::index(iova))?, L4::index(iova)),
        }
    }

    /// Returns the level-1 table below `upper` that serves `iova`, if there is one.
    #[inline(always)]
    pub(super) fn level1(&self, mem: &M, upper: M::Table<L3>, iova: u64) -> Option<M::Table<L1>> {
        let middle = mem.child(upper, L3::index(iova))?;
        mem.child(middle, L2::index(iova))
    }
}

/// A reader of the leaf that maps an address.
pub(super) trait ReadLeaf<F: Format> {
    /// What is read.
    type Leaf;

    /// Reads the leaf `entry` of level `L` for `iova`. Returns `None` if the entry is no leaf.
    fn read<L: TableLevel>(self, entry: u64, iova: u64) -> Option<Self::Leaf>;
}

impl<M: TableMemory> PageTable<M> {
    /// Descends to the entry that maps `iova` and lets `reader` read it, if there is one.
    #[inline(always)]
    pub(super) fn read_leaf<R: ReadLeaf<M::Format>>(
        &self,
        mem: &M,
        iova: u64,
        reader: R,
    ) -> Option<R::Leaf> {
        let upper = self.level3(mem, iova)?;
        let Some(middle) = mem.child(upper, L3::index(iova)) else {
            return reader.read::<L3>(mem.raw(upper, L3::index(iova)), iova);
        };
        let Some(lower) = mem.child(middle, L2::index(iova)) else {
            return reader.read::<L2>(mem.raw(middle, L2::index(iova)), iova);
        };
        reader.read::<L1>(mem.raw(lower, L1::index(iova)), iova)
    }
}

/// Returns whether `iova` is the start of an entry of level `L` and `len` covers its whole span.
#[inline(always)]
pub(super) fn covers<L: TableLevel>(iova: u64, len: u64) -> bool {
    len >= L::SPAN && L::offset(iova) == 0
}

/// Returns whether a mapping of `left` bytes at `iova` can start with a leaf of level `L`.
#[inline(always)]
pub(super) fn fits<F: Format, L: TableLevel>(
    iova: u64,
    entry: u64,
    left: u64,
    page_sizes: u64,
) -> bool {
    L::HAS_LEAVES && covers::<L>(iova | (entry & F::ADDRESS), left) && page_sizes & L::SPAN != 0
}

/// Returns whether one entry of level `L` serves both addresses.
#[inline(always)]
pub(super) fn is_same_entry<L: TableLevel>(one: u64, other: u64) -> bool {
    (one ^ other) >> L::SHIFT == 0
}

/// Returns the number of entries in a level-`L` table from the one that serves `iova` to the end.
#[inline(always)]
pub(super) fn entries_left<L: TableLevel>(iova: u64) -> usize {
    TABLE_ENTRIES.wrapping_sub(L::index(iova))
}

/// Returns whether a request of `len` bytes is too short to cover a level-3 table.
///
/// Longer requests are rare. They take the slow path, so that the fast one need not check each
/// link.
#[inline(always)]
pub(super) fn is_short(len: u64) -> bool {
    len < L4::SPAN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_covers_an_entry_from_its_start_only() {
        assert!(covers::<L2>(0x20_0000, 0x20_0000));
        assert!(!covers::<L2>(0x20_0000, 0x1f_f000));
        assert!(!covers::<L2>(0x20_1000, 0x40_0000));
        assert!(covers::<L1>(0x1000, 0x1000));
    }

    #[test]
    fn an_entry_serves_its_span() {
        assert!(is_same_entry::<L2>(0x20_0000, 0x3f_ffff));
        assert!(!is_same_entry::<L2>(0x3f_ffff, 0x40_0000));
    }

    #[test]
    fn a_short_range_covers_no_entry_of_level_4() {
        assert!(is_short(L4::SPAN - 0x1000));
        assert!(!is_short(L4::SPAN));
    }

    #[test]
    fn entries_left_end_with_the_table() {
        assert_eq!(entries_left::<L1>(0), 512);
        assert_eq!(entries_left::<L1>(0x1f_f000), 1);
        assert_eq!(entries_left::<L2>(0x7fff_ffff), 1);
    }
}
