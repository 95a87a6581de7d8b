// SPDX-License-Identifier: GPL-2.0

//! The memory interface of a page table.

use super::format::Format;
use super::level::{Directory, TableLevel, L1};

/// The error that no page was available for a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

/// A directory entry that is not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresentEntry<T> {
    /// A large page: the 64 bits as hardware reads them.
    Leaf(u64),
    /// A table of the level below.
    Table(T),
}

/// Memory for tables: pages of 512 entries of 64 bits.
///
/// The trait has levels as types so that an implementation on real pages can be sound with safe
/// callers. An entry of a directory is 0, a leaf (which has the [mark](leaf_mark) of its level) or a link,
/// and only [`link`](Self::link) writes links. A handle of level L comes only from
/// [`alloc`](Self::alloc) or from the link in a table of level L + 1.
///
/// Several threads may call all methods concurrently. Two threads never access the same leaf (the
/// user of the table holds a range lock per IOVA), but they do install and follow links in the same
/// directory.
///
/// # Obligations
///
/// - Indices are below 512, and `first + count` is at most 512. An implementation may mask or clip
///   other values, but does not panic.
/// - Stores are visible to hardware in program order, but need not be complete when a method
///   returns. The caller issues the barriers that the unit or the processor needs (a write-buffer
///   flush, `RWBF`), once per [`map`](super::PageTable::map), before the range is used.
/// - On units whose page walks do not snoop (`ECAP.C` = 0), hardware sees links and leaves only
///   after their cache lines are written back. [`flush`](Self::flush) does so for leaves and
///   cleared entries. `alloc`, `link` and `load_entry` do so for links themselves, as described
///   there.
pub trait TableMemory {
    /// The format of the tables.
    type Format: Format;

    /// A table of level `L` that is linked, or about to be.
    ///
    /// A handle is used only while the table is reachable: the caller that frees retired tables
    /// first makes sure that no walk may still hold a handle.
    type Table<L: TableLevel>: Copy;

    /// A table of any level: the type of retired tables and of the top table for a context entry.
    type Page;

    /// Converts a handle to one without a level.
    fn page<L: TableLevel>(&self, table: Self::Table<L>) -> Self::Page;

    /// Allocates a table with all entries 0, also as hardware sees them.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`] if no page is available in this context.
    fn alloc<L: TableLevel>(&self) -> Result<Self::Table<L>, OutOfMemory>;

    /// Frees a table that was never linked, so that hardware cannot have cached it.
    fn discard<L: TableLevel>(&self, table: Self::Table<L>);

    /// Returns the entry `index`, or `None` if it is 0. Does one load, with acquire order for
    /// links.
    ///
    /// Hardware sees a returned link before any entry that is written afterwards: if another thread
    /// has installed the link and not yet written it back, this call does so. (An ignored bit of
    /// the entry is set after the write-back.)
    fn load_entry<L: Directory>(
        &self,
        table: Self::Table<L>,
        index: usize,
    ) -> Option<PresentEntry<Self::Table<L::Child>>>;

    /// Returns the table to which entry `index` links, or `None` if it is not a link: the form of
    /// [`load_entry`](Self::load_entry) for the fast path.
    #[inline]
    fn child<L: Directory>(
        &self,
        table: Self::Table<L>,
        index: usize,
    ) -> Option<Self::Table<L::Child>> {
        match self.load_entry(table, index) {
            Some(PresentEntry::Table(child)) => Some(child),
            _ => None,
        }
    }

    /// Returns the 64 bits of entry `index`, whatever they mean. For reports and leaves of level 1.
    fn raw<L: TableLevel>(&self, table: Self::Table<L>, index: usize) -> u64;

    /// Writes leaves into at most `count` entries from `first` on, and stops before the first entry
    /// that is not 0. Returns how many it wrote.
    ///
    /// The first leaf is `entry`, and each further one is [`TableLevel::SPAN`] more. This method
    /// adds the [mark](leaf_mark) of the level. It uses plain stores, because no other thread writes these
    /// entries. [`fill_run`](super::run::fill_run) is the loop.
    fn fill<L: TableLevel>(
        &self,
        table: Self::Table<L>,
        first: usize,
        count: usize,
        entry: u64,
    ) -> usize;

    /// Sets at most `count` leaves to 0 from entry `first` on, and stops before the first entry
    /// that is not a leaf. Returns how many it cleared.
    ///
    /// It uses plain stores. [`clear_run`](super::run::clear_run) is the loop.
    fn clear<L: TableLevel>(&self, table: Self::Table<L>, first: usize, count: usize) -> usize;

    /// Links `child` from entry `index` if the entry is 0, by an atomic exchange with release
    /// order. On return, hardware sees the link.
    ///
    /// # Errors
    ///
    /// The entry that is there already, as [`load_entry`](Self::load_entry) returns it. The caller
    /// still owns `child`.
    fn link<L: Directory>(
        &self,
        table: Self::Table<L>,
        index: usize,
        child: Self::Table<L::Child>,
    ) -> Result<(), PresentEntry<Self::Table<L::Child>>>;

    /// Sets a link to 0. The caller holds the range of the whole entry, [flushes](Self::flush) the
    /// entry, and retires the table.
    fn unlink<L: Directory>(&self, table: Self::Table<L>, index: usize);

    /// Writes `count` entries from `first` on back from CPU caches, so that hardware sees them.
    /// Does nothing on units with coherent page walks.
    fn flush<L: TableLevel>(&self, table: Self::Table<L>, first: usize, count: usize);

    /// Returns the leaf `index` of a page table, or `None` if it is 0.
    #[inline]
    fn leaf(&self, table: Self::Table<L1>, index: usize) -> Option<u64> {
        match self.raw(table, index) {
            0 => None,
            entry => Some(entry),
        }
    }
}
