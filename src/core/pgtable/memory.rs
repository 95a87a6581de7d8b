// SPDX-License-Identifier: GPL-2.0

//! What a second-stage table needs of the memory that it lies in.

use super::level::{Directory, TableLevel, L1};

/// No page for a table could be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

/// An entry of a directory that is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresentEntry<T> {
    /// A large page; the 64 bits as hardware reads them.
    Leaf(u64),
    /// A table of the level below.
    Table(T),
}

/// Memory for tables: pages of 512 entries, entries of 64 bits.
///
/// The trait is level-aware so that an implementation on real pages can be sound with
/// safe callers: an entry of a directory is 0, a leaf (which carries
/// [`TableLevel::LEAF_MARK`]) or a link, and only [`link`](Self::link) writes links. A
/// handle of level L comes only from [`alloc`](Self::alloc) or from the link in a table of
/// level L + 1.
///
/// All methods may be called from several threads at once. Two threads never touch the
/// same leaf (the user of the table holds a range lock per IOVA), but they do install and
/// follow links in the same directory.
///
/// # Obligations
///
/// - Indices are below 512, `first + count` at most 512; an implementation masks or clips
///   them, as it likes, but does not panic.
/// - Stores become visible to hardware in program order, but need not be complete when a
///   method returns: barriers that the unit or the processor wants (a write-buffer flush,
///   `RWBF`) are the caller's, once per [`map`](super::SecondStage::map), before the range is used.
/// - On units that do not snoop page walks (`ECAP.C` = 0) links and leaves reach hardware
///   only when their cache lines are written back. [`flush`](Self::flush) does that for
///   leaves and cleared entries; `alloc`, `link` and `slot` do it for themselves, see there.
pub trait TableMemory {
    /// A table of level `L` that is linked somewhere, or about to be.
    ///
    /// A handle is used only while the table is reachable: whoever frees what was retired
    /// sees to it that no walk is left that may still hold one.
    type Table<L: TableLevel>: Copy;

    /// A table of any level: what is retired, and what a context entry is given.
    type Page;

    /// Forgets the level of a table.
    fn page<L: TableLevel>(&self, table: Self::Table<L>) -> Self::Page;

    /// A table all of whose entries are 0, in the eyes of hardware too.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`] if no page can be had in this context.
    fn alloc<L: TableLevel>(&self) -> Result<Self::Table<L>, OutOfMemory>;

    /// Gives back a table that was never linked; hardware cannot know it.
    fn discard<L: TableLevel>(&self, table: Self::Table<L>);

    /// The entry `index`, or `None` if it is 0. One load, with acquire order for links.
    ///
    /// A link returned is known to hardware before any entry written afterwards: if another
    /// thread has installed it and not yet written it back, this call does so. (An ignored bit
    /// of the entry, set after the write-back, tells.)
    fn load_entry<L: Directory>(
        &self,
        table: Self::Table<L>,
        index: usize,
    ) -> Option<PresentEntry<Self::Table<L::Child>>>;

    /// The table that entry `index` links to, or `None` if it is no link: what
    /// [`slot`](Self::load_entry) gives, on the way of small requests.
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

    /// The 64 bits of entry `index`, whatever they mean. For reports and leaves of level 1.
    fn raw<L: TableLevel>(&self, table: Self::Table<L>, index: usize) -> u64;

    /// Writes leaves into the entries from `first` on, `count` of them at most, and stops
    /// before the first that is not 0. Returns how many were written.
    ///
    /// The first is `entry`, each further one [`TableLevel::SPAN`] more;
    /// [`TableLevel::LEAF_MARK`] is added here. Plain stores: no one else writes
    /// these entries. [`fill_run`](super::run::fill_run) is the loop.
    fn fill<L: TableLevel>(
        &self,
        table: Self::Table<L>,
        first: usize,
        count: usize,
        entry: u64,
    ) -> usize;

    /// Sets leaves to 0 from entry `first` on, `count` of them at most, and stops before the
    /// first entry that is no leaf. Returns how many were cleared.
    ///
    /// Plain stores; [`clear_run`](super::run::clear_run) is the loop.
    fn clear<L: TableLevel>(&self, table: Self::Table<L>, first: usize, count: usize) -> usize;

    /// Makes `child` what entry `index` points to, if that is 0: an atomic exchange with
    /// release order. On return the link is known to hardware.
    ///
    /// # Errors
    ///
    /// What is there already, as [`slot`](Self::load_entry) gives it; `child` stays the caller's.
    fn link<L: Directory>(
        &self,
        table: Self::Table<L>,
        index: usize,
        child: Self::Table<L::Child>,
    ) -> Result<(), PresentEntry<Self::Table<L::Child>>>;

    /// Sets a link to 0. The caller holds the range of the whole entry, [flushes](Self::flush)
    /// it, and retires the table.
    fn unlink<L: Directory>(&self, table: Self::Table<L>, index: usize);

    /// Writes `count` entries from `first` on back to where hardware sees them. Nothing to
    /// do on units with coherent page walks.
    fn flush<L: TableLevel>(&self, table: Self::Table<L>, first: usize, count: usize);

    /// The leaf `index` of a page table, or `None` if it is 0.
    #[inline]
    fn leaf(&self, table: Self::Table<L1>, index: usize) -> Option<u64> {
        match self.raw(table, index) {
            0 => None,
            entry => Some(entry),
        }
    }
}
