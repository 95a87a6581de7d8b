// SPDX-License-Identifier: GPL-2.0

//! The second stage of one domain and the memory that it lies in.

use super::memory::Memory;
use kernel_ext::pages::Gfp;
use kernel_ext::radix;
use vtd_core::pgtable::SecondStage;

/// The tables, for units that snoop when they walk and for such that do not.
pub(super) enum Stage {
    Coherent(SecondStage<Memory<true>>),
    NonCoherent(SecondStage<Memory<false>>),
}

/// Runs `$body` with the second stage and its memory, whichever kind it is.
macro_rules! with_stage {
    ($tree:expr, $gfp:expr, |$stage:ident, $mem:ident| $body:expr) => {
        match &$tree.stage {
            $crate::domain::tree::Stage::Coherent($stage) => {
                let $mem = $crate::domain::memory::Memory::<true> {
                    tables: $tree.tables,
                    gfp: $gfp,
                };
                $body
            }
            $crate::domain::tree::Stage::NonCoherent($stage) => {
                let $mem = $crate::domain::memory::Memory::<false> {
                    tables: $tree.tables,
                    gfp: $gfp,
                };
                $body
            }
        }
    };
}
pub(super) use with_stage;

/// The tables, and where their pages come from.
pub(super) struct Tree {
    pub(super) stage: Stage,
    pub(super) tables: radix::Tables,
}

impl Drop for Tree {
    fn drop(&mut self) {
        // No unit is attached, so no hardware knows the tables; a page is freed at once, because
        // `release` is done with a table when it hands it over.
        with_stage!(self, Gfp::KERNEL, |stage, mem| stage
            .release(&mem, &mut |table| self.tables.free(table)))
    }
}
