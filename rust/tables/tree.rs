// SPDX-License-Identifier: GPL-2.0

//! The tables of one domain: their ownership, and the reads that are possible at any time.

use crate::memory::Memory;
use crate::readers::Readers;
use core::ops::ControlFlow;
use kernel::prelude::*;
use kernel_ext::iommu::table_pages;
use kernel_ext::pages::Gfp;
use vtd_core::pgtable::{
    CountCursor, PageTable, SecondStage, TableCounts, TraceStep, VisitEnd, VisitedLeaf, WalkTrace,
};
use vtd_core::spec::address::{Iova, PhysAddr};

/// The tables, for units that snoop when they walk or for units that do not.
pub(crate) enum Stage {
    Coherent(PageTable<Memory<SecondStage, true>>),
    NonCoherent(PageTable<Memory<SecondStage, false>>),
}

/// Runs `$body` with the second stage and its memory, whichever kind it is.
macro_rules! with_stage {
    ($owner:expr, $gfp:expr, |$stage:ident, $mem:ident| $body:expr) => {
        match &$owner.stage {
            $crate::tree::Stage::Coherent($stage) => {
                let $mem = $crate::memory::Memory::<_, true>::new($owner.pages, $gfp);
                $body
            }
            $crate::tree::Stage::NonCoherent($stage) => {
                let $mem = $crate::memory::Memory::<_, false>::new($owner.pages, $gfp);
                $body
            }
        }
    };
}
pub(crate) use with_stage;

/// The tables, and the allocator of their pages.
pub(crate) struct Owned {
    pub(crate) stage: Stage,
    pub(crate) pages: table_pages::TablePages,
}

impl Drop for Owned {
    fn drop(&mut self) {
        with_stage!(self, Gfp::KERNEL, |stage, mem| stage.release(
            &mem,
            &mut |table| {
                // SAFETY: `release` passes each live table once and does not use it afterwards.
                // Nothing else uses the tables: a walk borrows an owner of the `Tree`, and a domain
                // that has given them to hardware holds it until no unit is attached.
                unsafe { self.pages.free(table) }
            }
        ))
    }
}

/// The tables, shared by reports and by the domain that gives them to hardware. They are freed with
/// the last reference.
///
/// A walk here holds no range. A table that it is in may be unlinked concurrently, and is then
/// freed after the walk has ended (`readers.rs`).
#[pin_data]
pub struct Tree {
    owned: Owned,
    #[pin]
    pub(crate) readers: Readers,
}

impl Tree {
    /// Creates a tree of `owned`, without readers.
    pub(crate) fn new(owned: Owned) -> impl PinInit<Self> {
        pin_init!(Self {
            owned,
            readers <- Readers::new(),
        })
    }

    /// Returns the address of the top table, which is freed last.
    ///
    /// # Context
    ///
    /// Any context.
    pub fn top_table(&self) -> PhysAddr {
        let owned = &self.owned;
        with_stage!(owned, Gfp::KERNEL, |stage, mem| PhysAddr::new(
            owned.pages.phys(stage.top(&mem))
        ))
    }

    /// Visits leaves, as [`PageTable::visit_part`].
    ///
    /// # Context
    ///
    /// Any context; `visit` runs with interrupts off.
    pub fn visit_part(
        &self,
        from: Iova,
        tables: u32,
        visit: &mut impl FnMut(&VisitedLeaf) -> ControlFlow<()>,
    ) -> VisitEnd {
        self.readers.walk(|| {
            with_stage!(self.owned, Gfp::KERNEL, |stage, mem| stage
                .visit_part(&mem, from, tables, visit))
        })
    }

    /// Traces a walk, as [`PageTable::trace_walk`].
    ///
    /// # Context
    ///
    /// Any context; `visit` runs with interrupts off.
    pub fn trace_walk(
        &self,
        address: Iova,
        visit: &mut impl FnMut(TraceStep<PhysAddr>),
    ) -> WalkTrace {
        let owned = &self.owned;
        self.readers.walk(|| {
            with_stage!(owned, Gfp::KERNEL, |stage, mem| stage.trace_walk(
                &mem,
                address,
                &mut |step| visit(TraceStep {
                    level: step.level,
                    table: PhysAddr::new(owned.pages.phys(step.table)),
                    index: step.index,
                    entry: step.entry,
                })
            ))
        })
    }

    /// Counts tables, as [`PageTable::count_tables`].
    ///
    /// # Context
    ///
    /// Any context.
    pub fn count_tables(
        &self,
        rest: CountCursor,
        tables: u32,
        counts: &mut TableCounts,
    ) -> Option<CountCursor> {
        self.readers.walk(|| {
            with_stage!(self.owned, Gfp::KERNEL, |stage, mem| stage
                .count_tables(&mem, rest, tables, counts))
        })
    }
}
