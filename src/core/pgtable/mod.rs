// SPDX-License-Identifier: GPL-2.0

//! Page tables (VT-d 3.6, 3.7, 9.7, 9.8): map, unmap, query.
//!
//! A [`PageTable`] is a tree of tables with 512 entries each, 3 to 5 levels deep, in memory that
//! the caller provides ([`TableMemory`]). The memory says which [`Format`] the entries have. One
//! descent serves a whole range. Levels are types, so
//! that every step is compiled for its level. The recursion is at most as deep as the tree.
//!
//! # On map
//!
//! [`map`](PageTable::map) writes the leaves, allocates and links the tables that are missing,
//! and uses the largest pages that the alignment allows. The caller then invalidates the IOTLB or
//! flushes the write buffer where the unit requires it.
//!
//! # On unmap
//!
//! [`unmap`](PageTable::unmap) clears the leaves of the range in order, up to the first address
//! that is not mapped. It unlinks the tables that lie wholly within the range and hands them to
//! `retire`. It invalidates nothing: hardware may still use what it has cached. The caller
//! invalidates the IOTLB for the unmapped range, and only then frees the retired tables and the
//! memory that was mapped.
//!
//! # Invariants
//!
//! - A link is written once, when its table is complete, and cleared once, when the range of the
//!   whole entry is unmapped (or mapped by one large page). Links permit reads and writes; only
//!   leaves restrict access.
//! - A table is retired exactly once, after its link is cleared; the top table only by
//!   [`release`](PageTable::release).
//! - A leaf gives access to memory only between the `map` that wrote it and the `unmap` that
//!   cleared it. A failed `map` changes no mapping.
//!
//! # Locks
//!
//! This module takes no lock. The caller has exclusive use of the range: calls that run
//! concurrently have disjoint ranges (the kernel's `struct pt_iommu_ops` demands the same of its
//! users). Calls on disjoint ranges may share directories. Tables are installed by an atomic
//! exchange, and a call removes only tables that lie wholly within its own range, so that no other
//! thread can be in one.
//!
//! The paging-structure caches of hardware may still hold a retired table. It must not be freed or
//! reused before an invalidation that covers non-leaf entries (IH = 0) is complete.
//!
//! # Tables that stay
//!
//! `unmap` retires a table only if a single call covers its whole range and finds all of it mapped.
//! A table that was emptied piece by piece stays for later use, until a large page replaces it, a
//! later unmap covers it, or the tree is released.

mod descend;
mod error;
pub mod format;
mod gather;
mod geometry;
mod leaves;
mod level;
mod map;
mod map_level;
mod memory;
mod query;
mod release;
pub mod run;
mod table_counts;
mod trace;
mod unmap;
mod visit;
mod walk;

pub use error::{MapError, MapFailed, UnmapStop, Unmapped};
pub use format::{FirstStage, Format, Prot, SecondStage};
pub use gather::FlushGather;
pub use geometry::{output_bits, Geometry};
pub use leaves::{MappedMemory, MemoryRun, MAX_RUNS};
pub use level::{Directory, TableLevel, L1, L2, L3, L4, L5};
pub use map::PendingMap;
pub use memory::{OutOfMemory, PresentEntry, TableMemory};
pub use query::MappedPage;
pub use table_counts::{CountCursor, TableCounts};
pub use trace::{TraceStep, WalkOutcome, WalkTrace};
pub use unmap::PendingUnmap;
pub use visit::{VisitEnd, VisitedLeaf};

use crate::spec::address::{Iova, PAGE_SIZE};
use crate::spec::level::AddressWidth;

/// A page table in the memory `M`, of the format that the memory has.
///
/// Dropping it leaks its tables; [`release`](Self::release) hands them back.
#[must_use = "dropping a table leaks its memory: release it"]
pub struct PageTable<M: TableMemory> {
    top: Top<M>,
    geometry: Geometry,
    /// `geometry.last_iova()`, computed once because every request needs it.
    last_iova: u64,
    /// `geometry.last_phys()`.
    last_phys: u64,
    /// `geometry.page_sizes()`.
    page_sizes: u64,
}

/// The top table, to which the context entry points.
enum Top<M: TableMemory> {
    L3(M::Table<L3>),
    L4(M::Table<L4>),
    L5(M::Table<L5>),
}

impl<M: TableMemory> Clone for Top<M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: TableMemory> Copy for Top<M> {}

/// Evaluates `$body` with `$level` and `$table` for the level of the top table.
macro_rules! at_top {
    ($stage:expr, $level:ident, $table:ident => $body:expr) => {
        match $stage.top {
            $crate::pgtable::Top::L3($table) => {
                type $level = $crate::pgtable::L3;
                $body
            }
            $crate::pgtable::Top::L4($table) => {
                type $level = $crate::pgtable::L4;
                $body
            }
            $crate::pgtable::Top::L5($table) => {
                type $level = $crate::pgtable::L5;
                $body
            }
        }
    };
}
use at_top;

impl<M: TableMemory> PageTable<M> {
    /// Creates an empty table of the given shape, which blocks every request.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`] if no page is available for the top table.
    pub fn new(mem: &M, geometry: Geometry) -> Result<Self, OutOfMemory> {
        let top = match geometry.width {
            AddressWidth::Bits39 => Top::L3(mem.alloc()?),
            AddressWidth::Bits48 => Top::L4(mem.alloc()?),
            AddressWidth::Bits57 => Top::L5(mem.alloc()?),
        };
        Ok(Self {
            top,
            geometry,
            last_iova: geometry.last_iova().raw(),
            last_phys: geometry.last_phys().raw(),
            page_sizes: geometry.page_sizes(),
        })
    }

    /// Returns a second handle to the same tables, to be stored where the hot path reaches it
    /// sooner. Only one of the two handles [releases](Self::release) the tables.
    pub fn alias(&self) -> Self {
        Self { ..*self }
    }

    /// Returns the shape with which the table was created.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Returns the table to which a context entry points. It is not retired before
    /// [`release`](Self::release).
    pub fn top(&self, mem: &M) -> M::Page {
        at_top!(self, L, table => mem.page::<L>(table))
    }

    /// Returns whether `len` bytes from `iova` are a non-empty range within the aperture.
    #[inline(always)]
    fn is_in_aperture(&self, iova: u64, len: u64) -> bool {
        is_within(iova, len, self.last_iova)
    }

    /// Returns whether entries can hold the physical addresses of `len` bytes from `paddr`.
    #[inline(always)]
    fn is_in_memory(&self, paddr: u64, len: u64) -> bool {
        is_within(paddr, len, self.last_phys)
    }
}

/// Returns whether `len` bytes from `start` end at or before `last`; false if `len` is 0.
///
/// `last` is 2^n - 1, so OR-ed values can be compared with it in one step, and below 2^63, so the
/// sum of two values in range cannot wrap.
#[inline(always)]
fn is_within(start: u64, len: u64, last: u64) -> bool {
    // A length of 0 wraps to the highest number, which is above any `last`.
    let rest = len.wrapping_sub(1);
    start | rest | start.wrapping_add(rest) <= last
}

/// Returns whether all of the values that were OR-ed into `values` are multiples of a page.
#[inline(always)]
fn is_page_aligned(values: u64) -> bool {
    values & (PAGE_SIZE - 1) == 0
}

/// Returns the address `bytes` after the start of a request, which is within the aperture and thus
/// below 2^57.
#[inline(always)]
fn at(iova: u64, bytes: u64) -> Iova {
    Iova::new(iova.wrapping_add(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_at_the_last_address_or_before() {
        assert!(is_within(0, 0x1000, 0xfff));
        assert!(!is_within(0, 0x1001, 0xfff));
        assert!(!is_within(0x1000, 1, 0xfff));
        assert!(!is_within(0, 0, 0xfff));
        let most = (1 << 57) - 1;
        assert!(is_within(most, 1, most));
        assert!(!is_within(most, 2, most));
        assert!(!is_within(u64::MAX, 2, most));
        assert!(!is_within(0x1000, u64::MAX - 0xfff, most));
        assert!(!is_within(0x1000, u64::MAX, most));
    }
}
