// SPDX-License-Identifier: GPL-2.0

//! Tables on real pages.
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
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use kernel_ext::iommu::table_pages;
use kernel_ext::pages::Gfp;
use vtd_core::lockless::links;
use vtd_core::pgtable::run::{clear_run, fill_run, is_leaf};
use vtd_core::pgtable::{Directory, Format, OutOfMemory, PresentEntry, TableLevel, TableMemory};
use vtd_core::spec::address::PhysAddr;

/// Memory for the tables of one domain, of the format `F`, during one call. `COHERENT`: the units
/// that walk them snoop processor caches.
#[derive(Clone, Copy)]
pub(crate) struct Memory<F, const COHERENT: bool> {
    /// The allocator of the pages.
    tables: table_pages::TablePages,
    /// How the call may allocate.
    gfp: Gfp,
    format: PhantomData<F>,
}

/// A table of level `L` and of the format `F`.
///
/// # Invariants
///
/// The table is live while the handle is used.
pub(crate) struct LevelTable<F, L>(table_pages::TablePage, PhantomData<(F, L)>);

impl<F, L> Clone for LevelTable<F, L> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F, L> Copy for LevelTable<F, L> {}

impl<F, L> LevelTable<F, L> {
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

impl<F: Format, const COHERENT: bool> Memory<F, COHERENT> {
    /// Returns the memory of tables whose pages `tables` allocates, as `gfp` allows.
    #[inline(always)]
    pub(crate) fn new(tables: table_pages::TablePages, gfp: Gfp) -> Self {
        Memory {
            tables,
            gfp,
            format: PhantomData,
        }
    }

    /// Returns the table that a link in a table of level `L` points to.
    ///
    /// # Safety
    ///
    /// `link` must be what [`TableMemory::link`] stored there, and not have been unlinked before
    /// the caller's walk began.
    #[inline(always)]
    unsafe fn follow<L: Directory>(&self, link: u64) -> LevelTable<F, L::Child> {
        // INVARIANT: Live: a table that is unlinked is not freed during a walk.
        // SAFETY: The address of a table that was live when it was linked, and is by the above.
        LevelTable(unsafe { self.tables.follow(link) }, PhantomData)
    }

    /// Returns the leaf, or the table that the link points to.
    ///
    /// # Safety
    ///
    /// As for [`Self::follow`], if `entry` is a link; it must not be 0.
    unsafe fn present_entry<L: Directory>(
        &self,
        entry: u64,
    ) -> PresentEntry<LevelTable<F, L::Child>> {
        if is_leaf::<F, L>(entry) {
            PresentEntry::Leaf(entry)
        } else {
            // SAFETY: No leaf and not 0, so a link; the rest is this function's contract.
            PresentEntry::Table(unsafe { self.follow::<L>(entry) })
        }
    }

    /// Writes the link in entry `index` back to memory, and notes that in it.
    // Without `self`: the fast paths would have to store it in memory for the call.
    #[cold]
    #[inline(never)]
    fn write_link_back<L>(table: LevelTable<F, L>, index: usize, link: u64) {
        links::note_written_back::<F>(table.entry(index), link, || {
            // SAFETY: Live by the type's invariants.
            unsafe { table_pages::write_back(table.0, index, 1) }
        });
    }
}

impl<F: Format, const COHERENT: bool> TableMemory for Memory<F, COHERENT> {
    type Format = F;
    type Table<L: TableLevel> = LevelTable<F, L>;
    type Page = table_pages::TablePage;

    #[inline(always)]
    fn page<L: TableLevel>(&self, table: LevelTable<F, L>) -> table_pages::TablePage {
        table.0
    }

    fn alloc<L: TableLevel>(&self) -> Result<LevelTable<F, L>, OutOfMemory> {
        let table = self.tables.alloc(self.gfp).map_err(|_| OutOfMemory)?;
        if !COHERENT {
            // SAFETY: Just allocated.
            unsafe { table_pages::write_back(table, 0, table_pages::ENTRIES) };
        }
        // INVARIANT: Just allocated.
        Ok(LevelTable(table, PhantomData))
    }

    fn discard<L: TableLevel>(&self, table: LevelTable<F, L>) {
        // SAFETY: Live and never linked, so that only the caller has known it; it is done with it.
        unsafe { self.tables.free(table.0) }
    }

    #[inline(always)]
    fn load_entry<L: Directory>(
        &self,
        table: LevelTable<F, L>,
        index: usize,
    ) -> Option<PresentEntry<LevelTable<F, L::Child>>> {
        let entry = links::load_entry::<F, L, COHERENT>(table.entry(index), |link| {
            Self::write_link_back(table, index, link)
        })?;
        // SAFETY: An entry of a live directory that is not 0, by the module's invariants a leaf or
        // a link.
        Some(unsafe { self.present_entry::<L>(entry) })
    }

    #[inline(always)]
    fn child<L: Directory>(
        &self,
        table: LevelTable<F, L>,
        index: usize,
    ) -> Option<LevelTable<F, L::Child>> {
        let link = links::load_link::<F, L, COHERENT>(table.entry(index), |link| {
            Self::write_link_back(table, index, link)
        })?;
        // SAFETY: A link of a live directory.
        Some(unsafe { self.follow::<L>(link) })
    }

    #[inline(always)]
    fn raw<L: TableLevel>(&self, table: LevelTable<F, L>, index: usize) -> u64 {
        table.entry(index).load(Relaxed)
    }

    #[inline(always)]
    fn fill<L: TableLevel>(
        &self,
        table: LevelTable<F, L>,
        first: usize,
        count: usize,
        entry: u64,
    ) -> usize {
        fill_run::<F, L>(table.run(first, count), entry)
    }

    #[inline(always)]
    fn clear<L: TableLevel>(&self, table: LevelTable<F, L>, first: usize, count: usize) -> usize {
        clear_run::<F, L>(table.run(first, count))
    }

    fn link<L: Directory>(
        &self,
        table: LevelTable<F, L>,
        index: usize,
        child: LevelTable<F, L::Child>,
    ) -> Result<(), PresentEntry<LevelTable<F, L::Child>>> {
        let link = F::link(PhysAddr::new(self.tables.phys(child.0))).unwrap_or(0);
        let linked = links::store::<F, L, COHERENT>(table.entry(index), link, |link| {
            Self::write_link_back(table, index, link)
        });
        // SAFETY: What is there is a leaf or a link, as in `load_entry`.
        linked.map_err(|there| unsafe { self.present_entry::<L>(there) })
    }

    #[inline(always)]
    fn unlink<L: Directory>(&self, table: LevelTable<F, L>, index: usize) {
        table.entry(index).store(0, Relaxed)
    }

    #[inline(always)]
    fn flush<L: TableLevel>(&self, table: LevelTable<F, L>, first: usize, count: usize) {
        if !COHERENT {
            // SAFETY: Live by the type's invariants.
            unsafe { table_pages::write_back(table.0, first, count) }
        }
    }
}
