// SPDX-License-Identifier: GPL-2.0

//! The tables of one domain: their ownership, and the reads that are possible at any time.

use crate::memory::Memory;
use crate::readers::Readers;
use core::ops::ControlFlow;
use kernel::prelude::*;
use kernel_ext::iommu::table_pages;
use kernel_ext::pages::Gfp;
use vtd_core::pgtable::{
    CountCursor, Format, PageTable, TableCounts, TraceStep, VisitEnd, VisitedLeaf, WalkTrace,
};
use vtd_core::spec::address::{Iova, PhysAddr};
use vtd_core::spec::registers::TranslationTableMode;

/// The tables, and the allocator of their pages.
pub(crate) struct Owned<F: Format, const COHERENT: bool> {
    pub(crate) table: PageTable<Memory<F, COHERENT>>,
    pub(crate) pages: table_pages::TablePages,
}

impl<F: Format, const COHERENT: bool> Owned<F, COHERENT> {
    /// Returns the memory of the tables, for calls that allocate nothing.
    fn memory(&self) -> Memory<F, COHERENT> {
        Memory::new(self.pages, Gfp::KERNEL)
    }
}

impl<F: Format, const COHERENT: bool> Drop for Owned<F, COHERENT> {
    fn drop(&mut self) {
        self.table.release(&self.memory(), &mut |table| {
            // SAFETY: `release` passes each live table once and does not use it afterwards. Nothing
            // else uses the tables: a walk borrows an owner of the `Tree`, and a domain that has
            // given them to hardware holds it until no unit is attached.
            unsafe { self.pages.free(table) }
        })
    }
}

/// The tables, shared by reports and by the domain that gives them to hardware. They are freed with
/// the last reference.
#[pin_data]
pub(crate) struct Tree<F: Format, const COHERENT: bool> {
    owned: Owned<F, COHERENT>,
    #[pin]
    pub(crate) readers: Readers,
}

impl<F: Format, const COHERENT: bool> Tree<F, COHERENT> {
    /// Creates a tree of `owned`, without readers.
    pub(crate) fn new(owned: Owned<F, COHERENT>) -> impl PinInit<Self> {
        pin_init!(Self {
            owned,
            readers <- Readers::new(),
        })
    }
}

/// A tree of any type, for what is possible at any time: all but map and unmap.
///
/// A walk here holds no range. A table that it is in may be unlinked concurrently, and is then
/// freed after the walk has ended (`readers.rs`).
pub trait SharedTables: Send + Sync {
    /// Returns the address of the top table, which is freed last.
    ///
    /// # Context
    ///
    /// Any context.
    fn top_table(&self) -> PhysAddr;

    /// Visits leaves, as [`PageTable::visit_part`].
    ///
    /// # Context
    ///
    /// Any context; `visit` runs with interrupts off.
    fn visit_part(
        &self,
        from: Iova,
        tables: u32,
        visit: &mut dyn FnMut(&VisitedLeaf) -> ControlFlow<()>,
    ) -> VisitEnd;

    /// Traces a walk, as [`PageTable::trace_walk`].
    ///
    /// # Context
    ///
    /// Any context; `visit` runs with interrupts off.
    fn trace_walk(
        &self,
        address: Iova,
        mode: TranslationTableMode,
        visit: &mut dyn FnMut(TraceStep<PhysAddr>),
    ) -> WalkTrace;

    /// Counts tables, as [`PageTable::count_tables`].
    ///
    /// # Context
    ///
    /// Any context.
    fn count_tables(
        &self,
        rest: CountCursor,
        tables: u32,
        counts: &mut TableCounts,
    ) -> Option<CountCursor>;
}

impl<F: Format, const COHERENT: bool> SharedTables for Tree<F, COHERENT> {
    fn top_table(&self) -> PhysAddr {
        let owned = &self.owned;
        PhysAddr::new(owned.pages.phys(owned.table.top(&owned.memory())))
    }

    fn visit_part(
        &self,
        from: Iova,
        tables: u32,
        visit: &mut dyn FnMut(&VisitedLeaf) -> ControlFlow<()>,
    ) -> VisitEnd {
        let (table, mem) = (&self.owned.table, self.owned.memory());
        self.readers
            .walk(|| table.visit_part(&mem, from, tables, &mut |leaf: &_| visit(leaf)))
    }

    fn trace_walk(
        &self,
        address: Iova,
        mode: TranslationTableMode,
        visit: &mut dyn FnMut(TraceStep<PhysAddr>),
    ) -> WalkTrace {
        let (table, mem) = (&self.owned.table, self.owned.memory());
        let mut found = |step: TraceStep<table_pages::TablePage>| {
            visit(TraceStep {
                level: step.level,
                table: PhysAddr::new(self.owned.pages.phys(step.table)),
                index: step.index,
                entry: step.entry,
                meaning: step.meaning,
            })
        };
        self.readers
            .walk(|| table.trace_walk(&mem, address, mode, &mut found))
    }

    fn count_tables(
        &self,
        rest: CountCursor,
        tables: u32,
        counts: &mut TableCounts,
    ) -> Option<CountCursor> {
        let (table, mem) = (&self.owned.table, self.owned.memory());
        self.readers
            .walk(|| table.count_tables(&mem, rest, tables, counts))
    }
}
