// SPDX-License-Identifier: GPL-2.0

//! Second-stage page tables in legacy mode (VT-d 3.7, 9.8): map, unmap, query.
//!
//! A [`SecondStage`] is a tree of tables of 512 entries, 3 to 5 levels deep, in memory that the
//! user provides ([`TableMemory`]). One descent serves a whole range; levels are types, so that
//! every step is compiled for its level; recursion is as deep as the tree and no deeper.
//!
//! # Invariants
//!
//! - A link is written once, when its table is complete, and cleared once, when the range of
//!   the whole entry is unmapped (or mapped by one large page). Links allow everything; leaves decide.
//! - A table is retired exactly once, after its link is cleared; the top table only by
//!   [`release`](SecondStage::release).
//! - Memory is handed out by a leaf only between the `map` that wrote it and the `unmap`
//!   that cleared it: a failed `map` changes no mapping.
//!
//! # Locks
//!
//! None here. The user holds a range lock per IOVA: calls that run at once have disjoint
//! ranges (as the kernel's `struct pt_iommu_ops` demands of its users as well). Calls on
//! disjoint ranges share directories: tables are installed by an atomic exchange, and only
//! tables that lie wholly within the caller's range are ever removed, so that no other
//! thread can be in one.
//!
//! What was retired may still be in the paging-structure caches of hardware: it must not
//! be freed or reused before an invalidation that covers non-leaf entries (IH = 0) is complete.
//!
//! # What stays
//!
//! `unmap` frees a table only if one call covers it whole and finds it full. A table that was
//! emptied piece by piece stays, to be used again, until a large page takes its place, a
//! later unmap covers it, or the tree is released.

mod descend;
mod error;
mod geometry;
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

pub use error::{MapError, MapFailed, UnmapStop, Unmapped};
pub use geometry::{output_bits, Geometry};
pub use level::{Directory, TableLevel, L1, L2, L3, L4, L5};
pub use map::{PendingMap, Prot};
pub use memory::{OutOfMemory, PresentEntry, TableMemory};
pub use query::MappedPage;
pub use table_counts::{CountCursor, TableCounts};
pub use trace::{TraceStep, WalkOutcome, WalkTrace};
pub use unmap::PendingUnmap;
pub use visit::{VisitEnd, VisitedLeaf};

use crate::spec::address::{Iova, PAGE_SIZE};
use crate::spec::level::AddressWidth;

/// A second-stage page table in the memory `M`.
///
/// Dropping it leaks its tables; [`release`](Self::release) hands them back.
#[must_use = "dropping a table leaks its memory: release it"]
pub struct SecondStage<M: TableMemory> {
    top: Top<M>,
    geometry: Geometry,
    /// `geometry.last_iova()`, at hand for every request.
    last_iova: u64,
    /// `geometry.last_phys()`.
    last_phys: u64,
    /// `geometry.page_sizes()`.
    page_sizes: u64,
}

/// The table that the context entry points to.
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

/// Runs `$body` with `$level` and `$table` for the level that the top table has.
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

impl<M: TableMemory> SecondStage<M> {
    /// An empty table of the given shape: every request is blocked.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`] if there is no page for the top table.
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

    /// The same tables once more, for a place where they are found sooner. One of the two
    /// [releases](Self::release) them.
    pub fn alias(&self) -> Self {
        Self { ..*self }
    }

    /// The shape that the table was made with.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The table that a context entry is to point to. Never retired before
    /// [`release`](Self::release).
    pub fn top(&self, mem: &M) -> M::Page {
        at_top!(self, L, table => mem.page::<L>(table))
    }

    /// Whether `len` bytes from `iova` are a range of the aperture, and not an empty one.
    #[inline(always)]
    fn is_in_aperture(&self, iova: u64, len: u64) -> bool {
        is_within(iova, len, self.last_iova)
    }

    /// Whether `len` bytes from `paddr` are memory that entries can hold.
    #[inline(always)]
    fn is_in_memory(&self, paddr: u64, len: u64) -> bool {
        is_within(paddr, len, self.last_phys)
    }
}

/// Whether `len` bytes from `start` end at `last` or before; false if there are none.
///
/// `last` is one less than a power of two, so that several numbers can be held against it at
/// once; and less than half of all numbers, so that two of them add up without wrapping.
#[inline(always)]
fn is_within(start: u64, len: u64, last: u64) -> bool {
    // A length of 0 becomes the highest number, which is above any `last`.
    let rest = len.wrapping_sub(1);
    start | rest | start.wrapping_add(rest) <= last
}

/// Whether all of `values`, or-ed together, are multiples of a page.
#[inline(always)]
fn is_page_aligned(values: u64) -> bool {
    values & (PAGE_SIZE - 1) == 0
}

/// The address `bytes` past the start of a request; within the aperture, so below 2^57.
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
