// SPDX-License-Identifier: GPL-2.0

//! Second-stage page tables in the kernel's memory, without an obligation for who uses them.
//!
//! `vtd_core::pgtable` is the algorithm: safe code, over whatever memory it is given.
//! [`kernel_ext::iommu::table_pages`] is the memory: pages and addresses, whose functions are unsafe, because
//! nothing in them can check that a table is live or an entry a link. This crate puts the one into
//! the other, and argues why that is sound:
//!
//! - Handles of tables exist inside [`SecondStage`] only; neither it nor its memory leaves here.
//!   There levels are types, so that a leaf is never taken for a link; a link is written once its
//!   table is complete, and a table retired once, after its link is gone. These laws are what the
//!   host tests of `vtd_core::pgtable` check; code that forbids `unsafe` is trusted for them.
//! - Who maps or unmaps has a [`Held`] range of these very tables. Tables are retired only if they
//!   lie wholly within such a range, so that nobody who has another is in them.
//! - Who only looks has no range, and walks as a reader, for whose end a retired table waits.
//! - A retired table goes on a [`Gather`] together with its range, and its page is freed when the
//!   driver's invalidation of that gather has returned.
//! - The rest is freed with the last [`Tree`].
//!
//! What hardware does with tables that are freed too early is not in this argument, see
//! `Documentation/invariants.rst`.

#![deny(unsafe_op_in_unsafe_fn)]

mod memory;
mod readers;
mod tree;

use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel_ext::errno::eaddrinuse;
use kernel_ext::iommu::table_pages;
use kernel_ext::iommu::{Gather, Held, Paging};
use kernel_ext::pages::{Charge, Gfp, NumaNode};
use memory::Memory;
use tree::{with_stage, Owned, Stage};
use vtd_core::pgtable::{
    Geometry, MapError, OutOfMemory, PendingMap, PendingUnmap, Prot, SecondStage,
};
use vtd_core::spec::address::{Iova, PhysAddr};
use vtd_core::spec::pte::Access;

pub use tree::Tree;

/// The tables of a domain, for the core's domain to own: [`Held`] ranges are of these.
///
/// # Invariants
///
/// `stage` and `pages` are those of `tree`, once more, so that the way of a mapping needs no load
/// to find them. There is one for a `tree`.
pub struct Tables {
    stage: Stage,
    pages: table_pages::TablePages,
    /// Whether leaves make the device's accesses snoop.
    snoop: AtomicBool,
    tree: Arc<Tree>,
}

impl Tables {
    /// Empty tables near `node`, for units that snoop when they walk (`coherent`) or for such that
    /// do not; what is allocated here is charged as `charge` says. Process context.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub fn new(geometry: Geometry, coherent: bool, node: NumaNode, charge: Charge) -> Result<Self> {
        let (pages, gfp) = (table_pages::TablePages::new(node), charge.gfp());
        let (stage, same) = if coherent {
            let mem = Memory::<true> { tables: pages, gfp };
            let stage = SecondStage::new(&mem, geometry).map_err(|OutOfMemory| ENOMEM)?;
            (Stage::Coherent(stage.alias()), Stage::Coherent(stage))
        } else {
            let mem = Memory::<false> { tables: pages, gfp };
            let stage = SecondStage::new(&mem, geometry).map_err(|OutOfMemory| ENOMEM)?;
            (Stage::NonCoherent(stage.alias()), Stage::NonCoherent(stage))
        };
        let owned = Owned { stage: same, pages };
        let tree = Arc::pin_init(Tree::new(owned), charge.flags())?;
        // INVARIANT: Just made of one second stage.
        Ok(Tables {
            stage,
            pages,
            snoop: AtomicBool::new(false),
            tree,
        })
    }

    /// The same tables, to be looked at and given to hardware.
    pub fn tree(&self) -> &Arc<Tree> {
        &self.tree
    }

    /// Has leaves that are written from now on make the device's accesses snoop. Any context.
    pub fn snoop(&self) {
        self.snoop.store(true, Ordering::Release)
    }

    /// Maps a range to memory from `to` on; makes tables where there are none. Any context that
    /// `gfp` allows.
    ///
    /// An empty table may make room for a large page: it is freed when `paging`, whose tables these
    /// are, has invalidated it. What a failed map wrote and took back was visible for a moment, and
    /// is invalidated as well.
    ///
    /// # Errors
    ///
    /// `ERANGE` outside the aperture or the memory that entries can hold, `EADDRINUSE`, [`ENOMEM`],
    /// [`EINVAL`] for what is empty or no whole pages. No mapping has changed.
    #[inline(always)]
    pub fn map(
        range: Held<'_, Self>,
        to: PhysAddr,
        access: Access,
        gfp: Gfp,
        paging: &impl Paging,
    ) -> Result {
        let (iova, len) = (Iova::new(range.iova()), range.len());
        let tables = range.tables();
        let snoop = tables.snoop.load(Ordering::Relaxed);
        let prot = Prot { access, snoop };
        let begun = with_stage!(tables, gfp, |stage, mem| stage
            .map_fast(&mem, iova, to, len, prot));
        if let Err(rest) = begun {
            tables.map_slow(rest, gfp, paging)?;
        }
        Ok(())
    }

    /// Maps what the quick way has left, in a range that the caller of [`Self::map`] holds.
    #[cold]
    #[inline(never)]
    fn map_slow<P: Paging>(&self, rest: PendingMap, gfp: Gfp, paging: &P) -> Result {
        let rest = match with_stage!(self, gfp, |stage, mem| stage.map_existing(&mem, rest)) {
            Ok(()) => return Ok(()),
            Err(rest) => rest,
        };
        let (iova, len) = rest.range();
        Gather::with_own(paging, |mut gather| {
            let done = with_stage!(self, gfp, |stage, mem| stage.map_slow(
                &mem,
                rest,
                &mut |table| {
                    // SAFETY: A live table, which `vtd_core::pgtable` retires once and does not use
                    // afterwards. It lay within the held range, so that only readers can be in it,
                    // whose end is waited for below.
                    unsafe { self.pages.retire(table, gather.as_mut()) }
                }
            ));
            if gather.has_tables() {
                self.tree.readers.wait();
                gather.as_mut().add(iova.raw(), len);
            }
            done.map_err(|failed| {
                gather.add(iova.raw(), failed.undone);
                errno(failed.error)
            })
        })
    }

    /// Unmaps a range up to the first hole. Puts tables that went with it on `gather`, and the range
    /// from which they went; what else was unmapped is for the caller to add. Returns how many
    /// bytes. Any context.
    #[inline(always)]
    pub fn unmap(range: Held<'_, Self>, gather: Pin<&mut Gather>) -> u64 {
        let (iova, len) = (range.iova(), range.len());
        let tables = range.tables();
        let begun = with_stage!(tables, Gfp::KERNEL, |stage, mem| stage.unmap_fast(
            &mem,
            Iova::new(iova),
            len
        ));
        match begun {
            Ok(bytes) => bytes,
            Err(rest) => tables.unmap_slow(rest, iova, gather),
        }
    }

    /// Unmaps what the quick way has left: what takes tables away, and what is not mapped.
    #[cold]
    #[inline(never)]
    fn unmap_slow(&self, rest: PendingUnmap, iova: u64, mut gather: Pin<&mut Gather>) -> u64 {
        let gfp = Gfp::KERNEL;
        let rest = match with_stage!(self, gfp, |stage, mem| stage.unmap_existing(&mem, rest)) {
            Ok(bytes) => return bytes,
            Err(rest) => rest,
        };
        let mut retired = false;
        let unmapped = with_stage!(self, gfp, |stage, mem| stage.unmap_slow(
            &mem,
            rest,
            &mut |table| {
                retired = true;
                // SAFETY: As in `map_slow`; the gather is invalidated after we return.
                unsafe { self.pages.retire(table, gather.as_mut()) }
            },
        ));
        if retired {
            self.tree.readers.wait();
            gather.add(iova, unmapped.bytes);
        }
        unmapped.bytes
    }

    /// Where the first byte of a range leads, if it is mapped. Any context.
    pub fn translate(range: &Held<'_, Self>) -> Option<PhysAddr> {
        with_stage!(range.tables(), Gfp::KERNEL, |stage, mem| stage
            .query(&mem, Iova::new(range.iova())))
        .map(|found| found.paddr)
    }
}

/// `-errno` of a failed map.
fn errno(error: MapError) -> Error {
    match error {
        MapError::OutsideAperture { .. } | MapError::OutsideMemory { .. } => ERANGE,
        MapError::AddressInUse { .. } => eaddrinuse(),
        MapError::OutOfMemory => ENOMEM,
        _ => EINVAL,
    }
}
