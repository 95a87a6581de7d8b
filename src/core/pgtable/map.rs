// SPDX-License-Identifier: GPL-2.0

//! Mapping a range: one descent, the largest pages first.

use super::descend::{entries_left, fits};
use super::error::{MapError, MapFailed};
use super::level::{TableLevel, L1, L2, L3};
use super::map_level::{MapCursor, MapLevel};
use super::memory::TableMemory;
use super::{at, at_top, is_page_aligned, SecondStage};
use crate::spec::address::{Iova, PhysAddr};
use crate::spec::level::PageSize;
use crate::spec::pte::{Access, Entry};

/// What a device may do with mapped memory, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prot {
    /// Reads, writes or both.
    pub access: Access,
    /// Whether the device's accesses snoop processor caches even if it asks not to.
    pub snoop: bool,
}

impl Prot {
    /// The entry's bits beside the address.
    #[inline(always)]
    fn entry_bits(self) -> u64 {
        match Entry::leaf(PhysAddr::new(0), PageSize::Size4K, self.access, self.snoop) {
            Some(entry) => entry.raw(),
            // Address 0 is aligned; and an entry of 0 would only block.
            None => 0,
        }
    }
}

impl<M: TableMemory> SecondStage<M> {
    /// Maps `len` bytes from `iova` to memory from `paddr`.
    ///
    /// Uses the largest pages that the alignment of both addresses allows. On return all
    /// entries are written and flushed; a barrier and, where the unit caches absent entries
    /// (`CAP.CM`) or needs it (`CAP.RWBF`), an invalidation or buffer flush are the caller's.
    ///
    /// `retire` is given tables that held nothing and made room for a large page. It may be
    /// called also if the map fails. If it was called, the caller invalidates the range,
    /// non-leaf entries included, before it frees them and before it reports success.
    ///
    /// Context: the caller holds the range. Sleeps only if the memory does.
    ///
    /// # Errors
    ///
    /// See [`MapError`]. No mapping has changed; [`MapFailed::undone`] says what may have to be
    /// invalidated. Tables that were installed stay if they reach beyond the undone range:
    /// a neighbour may be using them.
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

    /// The first part of [`map`](Self::map), for callers to whom preparing for tables to be retired
    /// is a cost: writes one run of leaves into a table that exists.
    ///
    /// # Errors
    ///
    /// What is left, whatever the reason.
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
            self.fill_next(mem, from, to | prot.entry_bits(), len)
        } else {
            0
        };
        // Nothing is allowed that is empty.
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

    /// The second part of [`map`](Self::map), which may be left out: if the first has done
    /// something, goes on as long as tables exist.
    ///
    /// # Errors
    ///
    /// What is left, whatever the reason.
    pub fn map_existing(&self, mem: &M, mut rest: PendingMap) -> Result<(), PendingMap> {
        let entry = rest.paddr.raw() | rest.prot.entry_bits();
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

    /// The last part of [`map`](Self::map): what the others have left.
    ///
    /// # Errors
    ///
    /// As [`map`](Self::map), of the whole request.
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
        let entry = paddr.raw() | prot.entry_bits();
        self.map_remaining(mem, iova.raw(), entry, len, done, retire)
    }

    /// Whether the request can be served, if nothing is in the way.
    #[inline(always)]
    fn can_map(&self, from: u64, to: u64, len: u64, prot: Prot) -> bool {
        is_page_aligned(from | to | len)
            && self.is_in_aperture(from, len)
            && self.is_in_memory(to, len)
            && (!prot.snoop || self.geometry.snoop_control)
    }

    /// Writes the run of leaves that starts at `iova`, the largest that fit there, within one table
    /// that exists. Returns how many bytes: 0 if a table is missing or something is in the way.
    #[inline(always)]
    fn fill_next(&self, mem: &M, iova: u64, entry: u64, left: u64) -> u64 {
        let Some(upper) = self.level3(mem, iova) else {
            return 0;
        };
        if left < L2::SPAN {
            // No large page fits, whatever the addresses.
            return match self.level1(mem, upper, iova) {
                Some(lower) => fill::<L1, M>(lower, mem, iova, entry, left),
                None => 0,
            };
        }
        // Twice, so that what is shorter is compared once: nearly all requests are.
        if left < L3::SPAN {
            return self.fill_below(mem, upper, iova, entry, left);
        }
        if fits::<L3>(iova, entry, left, self.page_sizes) {
            return fill::<L3, M>(upper, mem, iova, entry, left);
        }
        self.fill_below(mem, upper, iova, entry, left)
    }

    /// As [`fill_next`](Self::fill_next), below the table `upper` that serves `iova`.
    #[inline(always)]
    fn fill_below(&self, mem: &M, upper: M::Table<L3>, iova: u64, entry: u64, left: u64) -> u64 {
        let Some(middle) = mem.child(upper, L3::index(iova)) else {
            return 0;
        };
        if fits::<L2>(iova, entry, left, self.page_sizes) {
            return fill::<L2, M>(middle, mem, iova, entry, left);
        }
        match mem.child(middle, L2::index(iova)) {
            Some(lower) => fill::<L1, M>(lower, mem, iova, entry, left),
            None => 0,
        }
    }

    /// The general case: any number of tables, any mixture of page sizes. `done` bytes from the
    /// start are mapped already.
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

    /// Clears what a failing map has written.
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
        // Ends at a leaf's end, and nobody else touches the range: nothing can stop it.
        let undone = self.unmap(mem, Iova::new(from), done, retire).bytes;
        MapFailed { error, undone }
    }

    /// Which of the conditions of `map` does not hold.
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

/// A request of which [`SecondStage::begin`] has done a part.
#[derive(Clone, Copy, Debug)]
pub struct PendingMap {
    iova: Iova,
    paddr: PhysAddr,
    len: u64,
    prot: Prot,
    /// Bytes from the start that are mapped.
    done: u64,
}

impl PendingMap {
    /// The range that is being mapped: its start, and how many bytes.
    #[inline(always)]
    pub fn range(&self) -> (Iova, u64) {
        (self.iova, self.len)
    }
}

/// Writes leaves of level `L` for `left` bytes at most into `table`, from the entry of `iova` on
/// up to the first that is not empty. Returns how many bytes.
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
