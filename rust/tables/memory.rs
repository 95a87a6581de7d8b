// SPDX-License-Identifier: GPL-2.0

//! Second-stage tables on real pages.
//!
//! # Invariants
//!
//! Only `vtd_core::pgtable` uses [`Memory`], through the functions of this crate, whose
//! documentation argues why that is sound:
//!
//! - Only [`TableMemory::link`] writes a link, with the address of a live table. Only
//!   [`TableMemory::load_entry`] and [`TableMemory::child`] follow a link, in a live table; their
//!   level distinguishes a link from a leaf.
//! - A handle is used only while its table is live.

use core::marker::PhantomData;
use core::sync::atomic::{AtomicU64, Ordering};
use kernel_ext::iommu::table_pages;
use kernel_ext::pages::Gfp;
use vtd_core::pgtable::run::{clear_run, fill_run, is_leaf, is_link};
use vtd_core::pgtable::{Directory, OutOfMemory, PresentEntry, TableLevel, TableMemory};
use vtd_core::spec::address::PhysAddr;
use vtd_core::spec::pte::Entry;

/// A bit of a link that hardware ignores (VT-d 9.8). It is set after the link has been written back
/// to memory, where a unit that does not snoop sees it.
const WRITTEN_BACK: u64 = 1 << 52;

/// Memory for the tables of one domain, during one call. `COHERENT`: the units that walk them
/// snoop processor caches.
#[derive(Clone, Copy)]
pub(crate) struct Memory<const COHERENT: bool> {
    /// The allocator of the pages.
    pub(crate) tables: table_pages::TablePages,
    /// How the call may allocate.
    pub(crate) gfp: Gfp,
}

/// A table of level `L`.
///
/// # Invariants
///
/// The table is live while the handle is used.
pub(crate) struct LevelTable<L>(table_pages::TablePage, PhantomData<L>);

impl<L> Clone for LevelTable<L> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<L> Copy for LevelTable<L> {}

impl<L> LevelTable<L> {
    #[inline(always)]
    fn entry(&self, index: usize) -> &AtomicU64 {
        // SAFETY: Live by the type's invariants.
        let entries = unsafe { self.0.entries() };
        // The mask removes the bound check: callers pass what is below 512.
        &entries[index & (table_pages::ENTRIES - 1)]
    }

    #[inline(always)]
    fn run(&self, first: usize, count: usize) -> &[AtomicU64] {
        if count == 1 {
            return core::slice::from_ref(self.entry(first));
        }
        let end = first.saturating_add(count).min(table_pages::ENTRIES);
        // SAFETY: Live by the type's invariants.
        let entries = unsafe { self.0.entries() };
        entries.get(first..end).unwrap_or_default()
    }
}

impl<const COHERENT: bool> Memory<COHERENT> {
    /// Returns the table that a link in a table of level `L` points to.
    ///
    /// # Safety
    ///
    /// `link` must be what [`TableMemory::link`] stored there, and not have been unlinked before
    /// the caller's walk began.
    #[inline(always)]
    unsafe fn follow<L: Directory>(&self, link: u64) -> LevelTable<L::Child> {
        // INVARIANT: Live: a table that is unlinked is not freed during a walk.
        // SAFETY: The address of a table that was live when it was linked, and is by the above.
        LevelTable(unsafe { self.tables.follow(link) }, PhantomData)
    }

    /// Returns the leaf, or the table that the link points to.
    ///
    /// # Safety
    ///
    /// As for [`Self::follow`], if `entry` is a link; it must not be 0.
    unsafe fn present_entry<L: Directory>(&self, entry: u64) -> PresentEntry<LevelTable<L::Child>> {
        if is_leaf::<L>(entry) {
            PresentEntry::Leaf(entry)
        } else {
            // SAFETY: No leaf and not 0, so a link; the rest is this function's contract.
            PresentEntry::Table(unsafe { self.follow::<L>(entry) })
        }
    }

    /// Writes the link in entry `index` back to memory, then sets [`WRITTEN_BACK`] in it. The bit
    /// is not set if the entry has changed since: this can happen if the caller is a reader, which
    /// holds no range.
    // Without `self`: the fast paths would have to store it in memory for the call.
    #[cold]
    #[inline(never)]
    fn write_link_back<L>(table: LevelTable<L>, index: usize, link: u64) {
        // SAFETY: Live by the type's invariants.
        unsafe { table_pages::write_back(table.0, index, 1) };
        let slot = table.entry(index);
        let noted = link | WRITTEN_BACK;
        let _ = slot.compare_exchange(link, noted, Ordering::Release, Ordering::Relaxed);
    }
}

impl<const COHERENT: bool> TableMemory for Memory<COHERENT> {
    type Table<L: TableLevel> = LevelTable<L>;
    type Page = table_pages::TablePage;

    #[inline(always)]
    fn page<L: TableLevel>(&self, table: LevelTable<L>) -> table_pages::TablePage {
        table.0
    }

    fn alloc<L: TableLevel>(&self) -> Result<LevelTable<L>, OutOfMemory> {
        let table = self.tables.alloc(self.gfp).map_err(|_| OutOfMemory)?;
        if !COHERENT {
            // SAFETY: Just allocated.
            unsafe { table_pages::write_back(table, 0, table_pages::ENTRIES) };
        }
        // INVARIANT: Just allocated.
        Ok(LevelTable(table, PhantomData))
    }

    fn discard<L: TableLevel>(&self, table: LevelTable<L>) {
        // SAFETY: Live and never linked, so that only the caller has known it; it is done with it.
        unsafe { self.tables.free(table.0) }
    }

    #[inline(always)]
    fn load_entry<L: Directory>(
        &self,
        table: LevelTable<L>,
        index: usize,
    ) -> Option<PresentEntry<LevelTable<L::Child>>> {
        let entry = table.entry(index).load(Ordering::Acquire);
        if entry == 0 {
            return None;
        }
        if !COHERENT && !is_leaf::<L>(entry) && entry & WRITTEN_BACK == 0 {
            Self::write_link_back(table, index, entry);
        }
        // SAFETY: An entry of a live directory that is not 0, by the module's invariants a leaf or
        // a link.
        Some(unsafe { self.present_entry::<L>(entry) })
    }

    #[inline(always)]
    fn child<L: Directory>(
        &self,
        table: LevelTable<L>,
        index: usize,
    ) -> Option<LevelTable<L::Child>> {
        let entry = table.entry(index).load(Ordering::Acquire);
        if !is_link::<L>(entry) {
            return None;
        }
        if !COHERENT && entry & WRITTEN_BACK == 0 {
            Self::write_link_back(table, index, entry);
        }
        // SAFETY: A link of a live directory.
        Some(unsafe { self.follow::<L>(entry) })
    }

    #[inline(always)]
    fn raw<L: TableLevel>(&self, table: LevelTable<L>, index: usize) -> u64 {
        table.entry(index).load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn fill<L: TableLevel>(
        &self,
        table: LevelTable<L>,
        first: usize,
        count: usize,
        entry: u64,
    ) -> usize {
        fill_run::<L>(table.run(first, count), entry)
    }

    #[inline(always)]
    fn clear<L: TableLevel>(&self, table: LevelTable<L>, first: usize, count: usize) -> usize {
        clear_run::<L>(table.run(first, count))
    }

    fn link<L: Directory>(
        &self,
        table: LevelTable<L>,
        index: usize,
        child: LevelTable<L::Child>,
    ) -> Result<(), PresentEntry<LevelTable<L::Child>>> {
        let link = Entry::table(PhysAddr::new(self.tables.phys(child.0)));
        let link = link.map_or(0, Entry::raw);
        let slot = table.entry(index);
        let linked = slot.compare_exchange(0, link, Ordering::Release, Ordering::Acquire);
        // The thread that loses the race continues below the winner's link, which may not have been
        // written back yet.
        let there = linked.err().unwrap_or(link);
        if !COHERENT && is_link::<L>(there) && there & WRITTEN_BACK == 0 {
            Self::write_link_back(table, index, there);
        }
        match linked {
            Ok(_) => Ok(()),
            // SAFETY: As in `slot`.
            Err(_) => Err(unsafe { self.present_entry::<L>(there) }),
        }
    }

    #[inline(always)]
    fn unlink<L: Directory>(&self, table: LevelTable<L>, index: usize) {
        table.entry(index).store(0, Ordering::Relaxed)
    }

    #[inline(always)]
    fn flush<L: TableLevel>(&self, table: LevelTable<L>, first: usize, count: usize) {
        if !COHERENT {
            // SAFETY: Live by the type's invariants.
            unsafe { table_pages::write_back(table.0, first, count) }
        }
    }
}
