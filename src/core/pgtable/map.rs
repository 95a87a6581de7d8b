// SPDX-License-Identifier: GPL-2.0

//! Maps a range with one descent, the largest pages first.

use super::descend::{entries_left, fits};
use super::error::{MapError, MapFailed};
use super::format::{Format, Prot};
use super::level::{TableLevel, L1, L2, L3};
use super::map_level::{MapCursor, MapLevel};
use super::memory::TableMemory;
use super::{at, at_top, is_page_aligned, PageTable};
use crate::spec::address::{Iova, PhysAddr};

impl<M: TableMemory> PageTable<M> {
    /// Maps `len` bytes from `iova` to memory from `paddr`.
    ///
    /// Uses the largest pages that the alignment of both addresses allows. On return, all entries
    /// are written and flushed. The caller issues a barrier. It also invalidates the IOTLB if the
    /// unit caches entries that are not present (`CAP.CM`), and flushes the write buffer if the
    /// unit requires it (`CAP.RWBF`).
    ///
    /// `retire` receives empty tables that a large page has replaced, also if the map fails later.
    /// If it was called, the caller invalidates the range, including non-leaf entries, before it
    /// frees the tables and before it reports success.
    ///
    /// # Errors
    ///
    /// See [`MapError`]. No mapping has changed. [`MapFailed::undone`] is the length that may have
    /// to be invalidated. Installed tables that extend beyond the undone range stay, because
    /// another thread may be using them.
    ///
    /// # Context
    ///
    /// The caller holds the range. Sleeps only if the allocation of a table does.
    #[inline]
    pub fn map<R: FnMut(M::Page)>(
        &self,
        mem: &M,
        iova: Iova,
        paddr: PhysAddr,
        len: u64,
        prot: Prot,
        retire: &mut R,
    ) -> Result<(), MapFailed> {
        match self.map_fast(mem, iova, paddr, len, prot) {
            Ok(()) => Ok(()),
            Err(rest) => self.map_slow(mem, rest, retire),
        }
    }

    /// Does the first part of [`map`](Self::map): writes one run of leaves into a table that
    /// exists.
    ///
    /// It retires no tables, so a caller need not prepare for that.
    ///
    /// # Errors
    ///
    /// The rest of the request, for whatever reason it is not mapped.
    #[inline(always)]
    pub fn map_fast(
        &self,
        mem: &M,
        iova: Iova,
        paddr: PhysAddr,
        len: u64,
        prot: Prot,
    ) -> Result<(), PendingMap> {
        let (from, to) = (iova.raw(), paddr.raw());
        let done = if self.can_map(from, to, len, prot) {
            self.fill_next(mem, from, to | M::Format::leaf_bits(prot), len)
        } else {
            0
        };
        // An empty request is an error.
        if done == len && done != 0 {
            return Ok(());
        }
        Err(PendingMap {
            iova,
            paddr,
            len,
            prot,
            done,
        })
    }

    /// Does the second part of [`map`](Self::map), which is optional: if the first part has mapped
    /// something, continues as long as tables exist.
    ///
    /// # Errors
    ///
    /// The rest of the request, for whatever reason it is not mapped.
    pub fn map_existing(&self, mem: &M, mut rest: PendingMap) -> Result<(), PendingMap> {
        let entry = rest.paddr.raw() | M::Format::leaf_bits(rest.prot);
        let mut bytes = rest.done;
        while bytes != 0 {
            let left = rest.len.wrapping_sub(rest.done);
            if left == 0 {
                return Ok(());
            }
            let iova = at(rest.iova.raw(), rest.done).raw();
            bytes = self.fill_next(mem, iova, entry.wrapping_add(rest.done), left);
            rest.done = rest.done.wrapping_add(bytes);
        }
        Err(rest)
    }

    /// Does the last part of [`map`](Self::map): maps the rest that the fast parts returned.
    ///
    /// # Errors
    ///
    /// The same as [`map`](Self::map), for the whole request.
    pub fn map_slow<R: FnMut(M::Page)>(
        &self,
        mem: &M,
        rest: PendingMap,
        retire: &mut R,
    ) -> Result<(), MapFailed> {
        let PendingMap {
            iova,
            paddr,
            len,
            prot,
            done,
        } = rest;
        if !self.can_map(iova.raw(), paddr.raw(), len, prot) {
            return Err(MapFailed::untouched(self.refusal(iova, paddr, len)));
        }
        let entry = paddr.raw() | M::Format::leaf_bits(prot);
        self.map_remaining(mem, iova.raw(), entry, len, done, retire)
    }

    /// Returns whether the request is valid; its range may still be in use.
    #[inline(always)]
    fn can_map(&self, from: u64, to: u64, len: u64, prot: Prot) -> bool {
        is_page_aligned(from | to | len)
            && self.is_in_aperture(from, len)
            && self.is_in_memory(to, len)
            && (!prot.snoop || self.geometry.snoop_control)
    }

    /// Writes a run of the largest leaves that fit at `iova`, within one table that exists. Returns
    /// how many bytes it mapped: 0 if a table is missing or the entry is in use.
    #[inline(always)]
    fn fill_next(&self, mem: &M, iova: u64, entry: u64, left: u64) -> u64 {
        let Some(upper) = self.level3(mem, iova) else {
            return 0;
        };
        if left < L2::SPAN {
            // Too short for a large page at any address.
            return match self.level1(mem, upper, iova) {
                Some(lower) => fill::<L1, M>(lower, mem, iova, entry, left),
                None => 0,
            };
        }
        // `fits` would compare the length, too. Nearly all requests are shorter; this check saves
        // them the rest of `fits`.
        if left < L3::SPAN {
            return self.fill_below(mem, upper, iova, entry, left);
        }
        if fits::<M::Format, L3>(iova, entry, left, self.page_sizes) {
            return fill::<L3, M>(upper, mem, iova, entry, left);
        }
        self.fill_below(mem, upper, iova, entry, left)
    }

    /// Does the same as [`fill_next`](Self::fill_next) below the table `upper` that serves `iova`.
    #[inline(always)]
    fn fill_below(&self, mem: &M, upper: M::Table<L3>, iova: u64, entry: u64, left: u64) -> u64 {
        let Some(middle) = mem.child(upper, L3::index(iova)) else {
            return 0;
        };
        if fits::<M::Format, L2>(iova, entry, left, self.page_sizes) {
            return fill::<L2, M>(middle, mem, iova, entry, left);
        }
        match mem.child(middle, L2::index(iova)) {
            Some(lower) => fill::<L1, M>(lower, mem, iova, entry, left),
            None => 0,
        }
    }

    /// Maps the general case: any number of tables, any mixture of page sizes. The first `done`
    /// bytes are mapped already.
    fn map_remaining<R: FnMut(M::Page)>(
        &self,
        mem: &M,
        from: u64,
        entry: u64,
        len: u64,
        done: u64,
        retire: &mut R,
    ) -> Result<(), MapFailed> {
        let mut cursor = MapCursor {
            mem,
            iova: from.wrapping_add(done),
            entry: entry.wrapping_add(done),
            left: len.wrapping_sub(done),
            page_sizes: self.page_sizes,
            retire: &mut *retire,
        };
        let result = at_top!(self, L, top => L::map(top, &mut cursor));
        match result {
            Ok(()) => Ok(()),
            Err(error) => {
                let done = cursor.iova.wrapping_sub(from);
                Err(self.undo(mem, from, done, error, retire))
            }
        }
    }

    /// Clears the leaves that a failed map has written.
    #[cold]
    #[inline(never)]
    fn undo<R: FnMut(M::Page)>(
        &self,
        mem: &M,
        from: u64,
        done: u64,
        error: MapError,
        retire: &mut R,
    ) -> MapFailed {
        if done == 0 {
            return MapFailed::untouched(error);
        }
        // The range ends at the end of a leaf and the caller holds it, so the unmap cannot stop
        // early.
        let undone = self.unmap(mem, Iova::new(from), done, retire).bytes;
        MapFailed { error, undone }
    }

    /// Returns the error for an invalid request: which condition of `map` it violates.
    #[cold]
    #[inline(never)]
    fn refusal(&self, iova: Iova, paddr: PhysAddr, len: u64) -> MapError {
        if len == 0 {
            return MapError::Empty;
        }
        if !is_page_aligned(iova.raw() | paddr.raw() | len) {
            return MapError::Unaligned { iova, paddr, len };
        }
        if !self.is_in_aperture(iova.raw(), len) {
            let last = self.geometry.last_iova();
            return MapError::OutsideAperture { iova, len, last };
        }
        if !self.is_in_memory(paddr.raw(), len) {
            let last = self.geometry.last_phys();
            return MapError::OutsideMemory { paddr, len, last };
        }
        MapError::NoSnoopControl
    }
}

/// A request that [`PageTable::map_fast`] has mapped in part or not at all.
#[derive(Clone, Copy, Debug)]
pub struct PendingMap {
    iova: Iova,
    paddr: PhysAddr,
    len: u64,
    prot: Prot,
    /// The number of bytes from the start that are mapped.
    done: u64,
}

impl PendingMap {
    /// Returns the range of the whole request: its start and its length in bytes.
    #[inline(always)]
    pub fn range(&self) -> (Iova, u64) {
        (self.iova, self.len)
    }
}

/// Writes leaves of level `L` into `table` for at most `left` bytes, from the entry that serves
/// `iova` up to the first entry that is not 0. Returns how many bytes it mapped.
#[inline(always)]
fn fill<L: TableLevel, M: TableMemory>(
    table: M::Table<L>,
    mem: &M,
    iova: u64,
    entry: u64,
    left: u64,
) -> u64 {
    let index = L::index(iova);
    if left < 2 * L::SPAN {
        if mem.fill(table, index, 1, entry) == 0 {
            return 0;
        }
        mem.flush(table, index, 1);
        return L::SPAN;
    }
    let wanted = (left >> L::SHIFT) as usize;
    let done = mem.fill(table, index, entries_left::<L>(iova).min(wanted), entry);
    if done != 0 {
        mem.flush(table, index, done);
    }
    (done as u64) << L::SHIFT
}
