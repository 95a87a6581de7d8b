// SPDX-License-Identifier: GPL-2.0

//! Leaves: the memory that a short range is mapped to, before or while it is unmapped.

use super::descend::ReadLeaf;
use super::format::Format;
use super::level::{TableLevel, L1, L2};
use super::memory::TableMemory;
use super::run::is_leaf;
use super::{is_page_aligned, PageTable};
use crate::spec::address::{Iova, PhysAddr};

/// The most leaves that are read, and so the most runs of memory that a result holds.
pub const MAX_RUNS: usize = 8;

/// Physically contiguous memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRun {
    /// The first byte.
    pub start: PhysAddr,
    /// The length.
    pub bytes: u64,
}

/// The memory that a range is mapped to: all of every leaf in it.
#[derive(Clone, Copy, Debug)]
pub struct MappedMemory {
    runs: [MemoryRun; MAX_RUNS],
    count: usize,
}

impl MappedMemory {
    /// Returns the runs.
    pub fn runs(&self) -> &[MemoryRun] {
        self.runs.get(..self.count).unwrap_or_default()
    }

    /// Returns the number of bytes of all runs: what an unmap of the range clears, if it stops at no
    /// hole and inside no leaf.
    pub fn bytes(&self) -> u64 {
        let lengths = self.runs().iter().map(|run| run.bytes);
        lengths.fold(0, u64::wrapping_add)
    }

    /// Adds a leaf. [`None`] if there is no room.
    fn add(&mut self, leaf: MemoryRun) -> Option<()> {
        let last = self.runs.get_mut(self.count.wrapping_sub(1))?;
        if last.start.raw().wrapping_add(last.bytes) == leaf.start.raw() {
            last.bytes = last.bytes.wrapping_add(leaf.bytes);
        } else {
            *self.runs.get_mut(self.count)? = leaf;
            self.count = self.count.wrapping_add(1);
        }
        Some(())
    }
}

impl<M: TableMemory> PageTable<M> {
    /// Unmaps `len` bytes from `iova` if they are one page of 4 KiB, as nearly all short ranges are,
    /// and returns its memory. Otherwise nothing has changed.
    ///
    /// What is true after [`unmap`](Self::unmap) is true afterwards, and no table was retired.
    ///
    /// # Context
    ///
    /// Any context. The caller holds the range.
    #[inline(always)]
    pub fn unmap_page(&self, mem: &M, iova: Iova, len: u64) -> Option<PhysAddr> {
        let from = iova.raw();
        if len != L1::SPAN || !is_page_aligned(from) || !self.is_in_aperture(from, len) {
            return None;
        }
        let table = self.level1(mem, self.level3(mem, from)?, from)?;
        let index = L1::index(from);
        let entry = mem.leaf(table, index)?;
        if mem.clear(table, index, 1) == 0 {
            return None;
        }
        mem.flush(table, index, 1);
        Some(PhysAddr::new(entry & <M::Format as Format>::ADDRESS))
    }

    /// Returns the memory that `len` bytes from `iova` are mapped to. [`None`] if a part is not
    /// mapped, if the range begins inside a leaf, or if it is too long for the caller to remember:
    /// more than [`MAX_RUNS`] leaves.
    ///
    /// # Context
    ///
    /// Any context. The caller holds the range.
    pub fn mapped_memory(&self, mem: &M, iova: Iova, len: u64) -> Option<MappedMemory> {
        let from = iova.raw();
        if !self.is_in_aperture(from, len) {
            return None;
        }
        let first = self.leaf_run(mem, from)?;
        // Pages of the size of the first one would be too many.
        if len > first.bytes.saturating_mul(MAX_RUNS as u64) {
            return None;
        }
        let mut memory = MappedMemory {
            runs: [first; MAX_RUNS],
            count: 1,
        };
        let level1 = |at| self.level1(mem, self.level3(mem, at)?, at);
        let (mut done, mut lower) = (first.bytes, level1(from));
        for _ in 1..MAX_RUNS {
            if done >= len {
                break;
            }
            let at = from.wrapping_add(done);
            if L2::offset(at) == 0 {
                lower = level1(at);
            }
            let leaf = match lower {
                Some(table) => {
                    ReadLeaf::<M::Format>::read::<L1>(LeafRun, mem.raw(table, L1::index(at)), at)
                }
                None => self.leaf_run(mem, at),
            }?;
            done = done.wrapping_add(leaf.bytes);
            memory.add(leaf)?;
        }
        (done >= len).then_some(memory)
    }

    /// Returns the memory of the leaf that begins at `iova`.
    #[inline(always)]
    fn leaf_run(&self, mem: &M, iova: u64) -> Option<MemoryRun> {
        self.read_leaf(mem, iova, LeafRun)
    }
}

/// Reads the memory of a leaf, if the address is its first.
struct LeafRun;

impl<F: Format> ReadLeaf<F> for LeafRun {
    type Leaf = MemoryRun;

    #[inline(always)]
    fn read<L: TableLevel>(self, entry: u64, iova: u64) -> Option<MemoryRun> {
        (is_leaf::<F, L>(entry) && (L::SPAN == L1::SPAN || L::offset(iova) == 0)).then(|| {
            MemoryRun {
                start: PhysAddr::new(entry & F::ADDRESS),
                bytes: L::SPAN,
            }
        })
    }
}
