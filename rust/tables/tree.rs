// SPDX-License-Identifier: GPL-2.0

//! The tables of one domain: who owns them, and what may be read of them at any time.

use crate::memory::Memory;
use crate::readers::Readers;
use core::ops::ControlFlow;
use kernel::prelude::*;
use kernel_ext::iommu::table_pages;
use kernel_ext::pages::Gfp;
use vtd_core::pgtable::{Census, CensusRest, SecondStage, Step, Visit, VisitEnd, Way};
use vtd_core::spec::address::{Iova, PhysAddr};

/// The tables, for units that snoop when they walk and for such that do not.
pub(crate) enum Stage {
    Coherent(SecondStage<Memory<true>>),
    NonCoherent(SecondStage<Memory<false>>),
}

/// Runs `$body` with the second stage and its memory, whichever kind it is.
macro_rules! with_stage {
    ($owner:expr, $gfp:expr, |$stage:ident, $mem:ident| $body:expr) => {
        match &$owner.stage {
            $crate::tree::Stage::Coherent($stage) => {
                let $mem = $crate::memory::Memory::<true> {
                    tables: $owner.pages,
                    gfp: $gfp,
                };
                $body
            }
            $crate::tree::Stage::NonCoherent($stage) => {
                let $mem = $crate::memory::Memory::<false> {
                    tables: $owner.pages,
                    gfp: $gfp,
                };
                $body
            }
        }
    };
}
pub(crate) use with_stage;

/// The tables, and where their pages come from.
pub(crate) struct Owned {
    pub(crate) stage: Stage,
    pub(crate) pages: table_pages::Tables,
}

impl Drop for Owned {
    fn drop(&mut self) {
        with_stage!(self, Gfp::KERNEL, |stage, mem| stage.release(
            &mem,
            &mut |table| {
                // SAFETY: `release` hands each live table over once, and is done with it then.
                // Nobody else is in them: who walks them borrows what holds the `Tree`, and
                // who has given them to hardware holds it until no unit is attached.
                unsafe { self.pages.free(table) }
            }
        ))
    }
}

/// The tables, shared by reports and by what gives them to hardware. They are freed with the last
/// reference.
///
/// A walk here holds no range. A table that it is in may be unlinked concurrently, and is then freed
/// after the walk has ended (`readers.rs`).
#[pin_data]
pub struct Tree {
    owned: Owned,
    #[pin]
    pub(crate) readers: Readers,
}

impl Tree {
    pub(crate) fn new(owned: Owned) -> impl PinInit<Self> {
        pin_init!(Self {
            owned,
            readers <- Readers::new(),
        })
    }

    /// Where the top table lies, which is never freed before the others. Any context.
    pub fn top(&self) -> PhysAddr {
        let owned = &self.owned;
        with_stage!(owned, Gfp::KERNEL, |stage, mem| PhysAddr::new(
            owned.pages.phys(stage.top(&mem))
        ))
    }

    /// As [`SecondStage::visit_part`]. Any context; `see` runs with interrupts off.
    pub fn visit_part(
        &self,
        from: Iova,
        tables: u32,
        see: &mut impl FnMut(&Visit) -> ControlFlow<()>,
    ) -> VisitEnd {
        self.readers.walk(|| {
            with_stage!(self.owned, Gfp::KERNEL, |stage, mem| stage
                .visit_part(&mem, from, tables, see))
        })
    }

    /// As [`SecondStage::way`]. Any context; `see` runs with interrupts off.
    pub fn way(&self, address: Iova, see: &mut impl FnMut(Step<PhysAddr>)) -> Way {
        let owned = &self.owned;
        self.readers.walk(|| {
            with_stage!(owned, Gfp::KERNEL, |stage, mem| stage.way(
                &mem,
                address,
                &mut |step| see(Step {
                    level: step.level,
                    table: PhysAddr::new(owned.pages.phys(step.table)),
                    index: step.index,
                    entry: step.entry,
                })
            ))
        })
    }

    /// As [`SecondStage::census`]. Any context.
    pub fn census(&self, rest: CensusRest, tables: u32, census: &mut Census) -> Option<CensusRest> {
        self.readers.walk(|| {
            with_stage!(self.owned, Gfp::KERNEL, |stage, mem| stage
                .census(&mem, rest, tables, census))
        })
    }
}
