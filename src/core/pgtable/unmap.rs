// SPDX-License-Identifier: GPL-2.0

//! Unmaps a range.
//!
//! Unmap clears leaves in order, up to the first address that is not mapped. It never splits a
//! page. A range that starts inside a large page unmaps nothing. A range that ends inside a large
//! page unmaps the whole page, and the result is larger than the request. The kernel's
//! `iommu_unmap` promises its users the same (it may not allocate, so it cannot split), and
//! generic_pt does the same. It is also the safe choice: a device never keeps access to memory that
//! was to be unmapped. VFIO relies on no more than this: it unmaps physically contiguous ranges,
//! which contain every large page whole, and continues after the returned length. iommufd unmaps
//! exactly what it mapped.

use super::descend::{covers, entries_left, is_same_entry, is_short};
use super::error::{UnmapStop, Unmapped};
use super::level::{Directory, TableLevel, L1, L2, L3, L4};
use super::memory::{PresentEntry, TableMemory};
use super::{at_top, is_page_aligned, PageTable};
use crate::spec::address::{Iova, PAGE_SIZE};
use crate::spec::level::TABLE_ENTRIES;

impl<M: TableMemory> PageTable<M> {
    /// Unmaps `len` bytes from `iova`, up to the first address that is not mapped.
    ///
    /// On return, the entries are cleared and flushed, but hardware may still use what it has
    /// cached. The caller invalidates the IOTLB from `iova` to `iova + bytes`, and only then
    /// releases the memory and frees the tables that `retire` received. If there were any, the
    /// invalidation covers non-leaf entries too (IH = 0).
    ///
    /// `retire` receives the tables that lie wholly within the range and were full. Unmap allocates
    /// no memory.
    ///
    /// # Context
    ///
    /// Any context. The caller holds the range.
    #[inline]
    pub fn unmap<R: FnMut(M::Page)>(
        &self,
        mem: &M,
        iova: Iova,
        len: u64,
        retire: &mut R,
    ) -> Unmapped {
        match self.unmap_fast(mem, iova, len) {
            Ok(bytes) => Unmapped { bytes, stop: None },
            Err(rest) => self.unmap_slow(mem, rest, retire),
        }
    }

    /// Does the first part of [`unmap`](Self::unmap): clears one run of leaves.
    ///
    /// It retires no tables, so a caller need not prepare for that. Returns how many bytes were
    /// unmapped if the request is complete; see [`Unmapped::bytes`] for when it is more than
    /// requested.
    ///
    /// # Errors
    ///
    /// The rest of the request, for whatever reason it is not unmapped.
    #[inline(always)]
    pub fn unmap_fast(&self, mem: &M, iova: Iova, len: u64) -> Result<u64, PendingUnmap> {
        let from = iova.raw();
        let mut done = 0;
        if is_page_aligned(from | len) && self.is_in_aperture(from, len) && is_short(len) {
            done = self.clear_next(mem, from, len);
            if done >= len {
                return Ok(done);
            }
        }
        Err(PendingUnmap { from, len, done })
    }

    /// Does the second part of [`unmap`](Self::unmap), which is optional: if the first part has
    /// unmapped something, continues as long as no table is to be unlinked.
    ///
    /// # Errors
    ///
    /// The same as [`unmap_fast`](Self::unmap_fast).
    pub fn unmap_existing(&self, mem: &M, rest: PendingUnmap) -> Result<u64, PendingUnmap> {
        let PendingUnmap { from, len, done } = rest;
        let (mut iova, mut left) = (from.wrapping_add(done), len.wrapping_sub(done));
        let mut bytes = done;
        while bytes != 0 {
            bytes = self.clear_next(mem, iova, left);
            iova = iova.wrapping_add(bytes);
            if bytes >= left {
                return Ok(iova.wrapping_sub(from));
            }
            left = left.wrapping_sub(bytes);
        }
        let done = iova.wrapping_sub(from);
        Err(PendingUnmap { from, len, done })
    }

    /// Does the last part of [`unmap`](Self::unmap): unmaps the rest that the fast parts returned.
    pub fn unmap_slow<R: FnMut(M::Page)>(
        &self,
        mem: &M,
        rest: PendingUnmap,
        retire: &mut R,
    ) -> Unmapped {
        let PendingUnmap { from, len, done } = rest;
        if !is_page_aligned(from | len) {
            return refused(UnmapStop::Unaligned);
        }
        if !self.is_in_aperture(from, len) {
            return refused(UnmapStop::OutsideAperture);
        }
        let mut cursor = UnmapCursor {
            mem,
            iova: from.wrapping_add(done),
            left: len.wrapping_sub(done),
            retire,
        };
        let result = at_top!(self, L, top => L::unmap(top, &mut cursor, false));
        Unmapped {
            bytes: cursor.iova.wrapping_sub(from),
            stop: result.err(),
        }
    }

    /// Clears the run of leaves that starts at `iova`, for at most `left` bytes. After small pages
    /// it also clears the large pages that follow in the tables above. Returns how many bytes it
    /// unmapped: 0 if there is no leaf, or if the range covers a table.
    #[inline(always)]
    fn clear_next(&self, mem: &M, iova: u64, left: u64) -> u64 {
        let Some(upper) = self.level3(mem, iova) else {
            return 0;
        };
        if left < L2::SPAN {
            // Covers no table. A range that ends inside a large page is rare and takes the slow
            // path.
            return match self.level1(mem, upper, iova) {
                Some(lower) => clear::<L1, M>(lower, mem, iova, left),
                None => 0,
            };
        }
        let Some(middle) = mem.child(upper, L3::index(iova)) else {
            return clear::<L3, M>(upper, mem, iova, left);
        };
        if covers::<L3>(iova, left) {
            return 0;
        }
        let Some(lower) = mem.child(middle, L2::index(iova)) else {
            return clear::<L2, M>(middle, mem, iova, left);
        };
        if covers::<L2>(iova, left) {
            return 0;
        }
        let mut done = clear::<L1, M>(lower, mem, iova, left);
        // Small pages may end where 2 MiB pages start, and those where 1 GiB pages start.
        let next = iova.wrapping_add(done);
        if done < left && is_same_entry::<L3>(iova, next) {
            let more = clear::<L2, M>(middle, mem, next, left.wrapping_sub(done));
            done = done.wrapping_add(more);
        }
        let next = iova.wrapping_add(done);
        if done < left && is_same_entry::<L4>(iova, next) {
            let more = clear::<L3, M>(upper, mem, next, left.wrapping_sub(done));
            done = done.wrapping_add(more);
        }
        done
    }
}

/// A request of which [`PageTable::unmap_fast`] has unmapped a part.
#[derive(Clone, Copy, Debug)]
pub struct PendingUnmap {
    /// The start of the request.
    from: u64,
    /// The length of the request in bytes.
    len: u64,
    /// The number of bytes from the start that are unmapped.
    done: u64,
}

/// Clears leaves of level `L` in `table` from `iova` on, for at most `left` bytes. Returns how many
/// bytes it unmapped: 0 also if `iova` lies inside a leaf.
#[inline(always)]
fn clear<L: TableLevel, M: TableMemory>(table: M::Table<L>, mem: &M, iova: u64, left: u64) -> u64 {
    if L::SPAN != PAGE_SIZE && L::offset(iova) != 0 {
        return 0;
    }
    let index = L::index(iova);
    if left <= L::SPAN {
        if mem.clear(table, index, 1) == 0 {
            return 0;
        }
        mem.flush(table, index, 1);
        return L::SPAN;
    }
    // A leaf inside which the range ends is removed whole.
    let wanted = left.wrapping_add(L::SPAN - 1) >> L::SHIFT;
    let done = mem.clear(table, index, entries_left::<L>(iova).min(wanted as usize));
    if done != 0 {
        mem.flush(table, index, done);
    }
    (done as u64) << L::SHIFT
}

fn refused(stop: UnmapStop) -> Unmapped {
    Unmapped {
        bytes: 0,
        stop: Some(stop),
    }
}

/// The state of an unmap in progress: what is still to be unmapped.
pub(super) struct UnmapCursor<'a, M: TableMemory, R: FnMut(M::Page)> {
    mem: &'a M,
    /// The start of the rest.
    iova: u64,
    /// The length of the rest in bytes.
    left: u64,
    retire: &'a mut R,
}

impl<M: TableMemory, R: FnMut(M::Page)> UnmapCursor<'_, M, R> {
    /// Clears leaves of level `L` from `index` to the end of the rest or of the table. Returns how
    /// many it cleared.
    #[inline(always)]
    fn clear<L: TableLevel>(&mut self, table: M::Table<L>, index: usize) -> usize {
        let room = TABLE_ENTRIES.wrapping_sub(index);
        // A leaf inside which the range ends is removed whole.
        let wanted = room.min(self.left.div_ceil(L::SPAN) as usize);
        let done = self.mem.clear(table, index, wanted);
        let bytes = (done as u64) << L::SHIFT;
        self.iova = self.iova.wrapping_add(bytes);
        self.left = self.left.saturating_sub(bytes);
        done
    }
}

/// A level at which an unmap can clear entries.
pub(super) trait UnmapLevel: TableLevel {
    /// Unmaps the rest, up to its end or to the end of `table`.
    ///
    /// `covered` is true if the caller unlinks the table when this succeeds, so that hardware need
    /// not see its cleared entries. On success, such a table is empty.
    ///
    /// # Errors
    ///
    /// The reason why the unmap stopped. `cursor` then holds the address at which it did.
    fn unmap<M: TableMemory, R: FnMut(M::Page)>(
        table: M::Table<Self>,
        cursor: &mut UnmapCursor<'_, M, R>,
        covered: bool,
    ) -> Result<(), UnmapStop>;
}

impl UnmapLevel for L1 {
    #[inline]
    fn unmap<M: TableMemory, R: FnMut(M::Page)>(
        table: M::Table<Self>,
        cursor: &mut UnmapCursor<'_, M, R>,
        covered: bool,
    ) -> Result<(), UnmapStop> {
        let index = Self::index(cursor.iova);
        let done = cursor.clear(table, index);
        let stopped = cursor.left != 0 && index.wrapping_add(done) < TABLE_ENTRIES;
        if done != 0 && (stopped || !covered) {
            cursor.mem.flush(table, index, done);
        }
        if stopped {
            return Err(UnmapStop::Hole);
        }
        Ok(())
    }
}

impl<L: Directory> UnmapLevel for L
where
    L::Child: UnmapLevel,
{
    #[inline]
    fn unmap<M: TableMemory, R: FnMut(M::Page)>(
        table: M::Table<Self>,
        cursor: &mut UnmapCursor<'_, M, R>,
        covered: bool,
    ) -> Result<(), UnmapStop> {
        let mut index = Self::index(cursor.iova);
        // The first entry that was cleared: all from there on are flushed in one run.
        let mut cleared = None;
        let mut result = Ok(());
        while index < TABLE_ENTRIES && cursor.left != 0 {
            match unmap_entry::<Self, M, R>(table, index, cursor) {
                EntryOutcome::Kept => index = index.wrapping_add(1),
                EntryOutcome::Cleared(count) => {
                    cleared = cleared.or(Some(index));
                    index = index.wrapping_add(count);
                }
                EntryOutcome::Stopped(stop) => {
                    result = Err(stop);
                    break;
                }
            }
        }
        if let Some(first) = cleared {
            if !covered || result.is_err() {
                cursor.mem.flush(table, first, index.wrapping_sub(first));
            }
        }
        result
    }
}

/// The result for one directory entry.
enum EntryOutcome {
    /// The link stays: the range covers only a part of the table below.
    Kept,
    /// This many entries were cleared; at least one.
    Cleared(usize),
    /// The unmap stops here.
    Stopped(UnmapStop),
}

#[inline(always)]
fn unmap_entry<L: Directory, M: TableMemory, R: FnMut(M::Page)>(
    table: M::Table<L>,
    index: usize,
    cursor: &mut UnmapCursor<'_, M, R>,
) -> EntryOutcome
where
    L::Child: UnmapLevel,
{
    match cursor.mem.load_entry(table, index) {
        None => EntryOutcome::Stopped(UnmapStop::Hole),
        Some(PresentEntry::Leaf(_)) => {
            if L::offset(cursor.iova) != 0 {
                return EntryOutcome::Stopped(UnmapStop::InsideLeaf);
            }
            match cursor.clear(table, index) {
                // Only if another thread violates the range lock and has just cleared it.
                0 => EntryOutcome::Stopped(UnmapStop::Hole),
                done => EntryOutcome::Cleared(done),
            }
        }
        Some(PresentEntry::Table(child)) => {
            let covered = covers::<L>(cursor.iova, cursor.left);
            if let Err(stop) = L::Child::unmap(child, cursor, covered) {
                return EntryOutcome::Stopped(stop);
            }
            if !covered {
                return EntryOutcome::Kept;
            }
            cursor.mem.unlink(table, index);
            (cursor.retire)(cursor.mem.page(child));
            EntryOutcome::Cleared(1)
        }
    }
}
