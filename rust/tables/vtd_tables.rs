// SPDX-License-Identifier: GPL-2.0

//! Page tables in the kernel's memory, with a safe interface.
//!
//! `vtd_core::pgtable` is the algorithm: safe code that is generic over the memory of the tables.
//! [`kernel_ext::iommu::table_pages`] is this memory: pages and addresses. Its functions are
//! unsafe, because they cannot check that a table is live or that an entry is a link. This crate
//! combines the two. This is why that is sound:
//!
//! - Handles of tables exist only inside [`PageTable`]; neither it nor its memory leaves this
//!   crate. Levels are types there, so a leaf is never taken for a link. A link is written when its
//!   table is complete, and a table is retired once, after its link was cleared. The host tests of
//!   `vtd_core::pgtable` check these rules; its code forbids `unsafe`, and is trusted to keep them.
//!   So is `vtd_core::lockless::links`, which loads and stores links as they are given.
//! - A map or unmap has a [`Held`] range of these tables. A table is retired only if its whole
//!   range is held, so no thread with another range uses it.
//! - A thread that only reads has no range. It walks as a reader, and a retired table is not freed
//!   before the reader ends.
//! - A retired table is put on a [`Gather`] together with its range. Its page is freed after the
//!   driver's invalidation of that gather has returned.
//! - All other tables are freed with the last reference to the tree (`tree.rs`).
//!
//! What hardware does with tables that are freed too early is not part of this argument; see
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
use readers::Readers;
use tree::{Owned, Tree};
use vtd_core::pgtable::{
    FlushGather, Format, Geometry, MapError, MappedMemory, OutOfMemory, PageTable, PendingMap,
    PendingUnmap, Prot,
};
use vtd_core::spec::address::{Iova, PhysAddr};
use vtd_core::spec::pte::Access;

pub use tree::SharedTables;

/// The tables of a domain, owned by the core's domain. A [`Held`] range is a range of these.
///
/// `COHERENT`: the units that walk them snoop processor caches.
///
/// # Invariants
///
/// `table` and `pages` are copies of those of `tree`, so that a map needs no load to find them.
/// There is one for each `tree`.
pub struct DomainTables<F: Format, const COHERENT: bool> {
    table: PageTable<Memory<F, COHERENT>>,
    pages: table_pages::TablePages,
    /// Whether leaves make the device's accesses snoop.
    snoop: AtomicBool,
    tree: Arc<Tree<F, COHERENT>>,
}

impl<F: Format, const COHERENT: bool> DomainTables<F, COHERENT> {
    /// Creates empty tables near `node`. The memory is charged as `charge` says.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    ///
    /// # Context
    ///
    /// Process context.
    pub fn new(geometry: Geometry, node: NumaNode, charge: Charge) -> Result<Self> {
        let pages = table_pages::TablePages::new(node);
        let mem = Memory::new(pages, charge.gfp());
        let owned = Owned {
            table: PageTable::new(&mem, geometry).map_err(|OutOfMemory| ENOMEM)?,
            pages,
        };
        let table = owned.table.alias();
        let tree = Arc::pin_init(Tree::new(owned), charge.flags())?;
        // INVARIANT: Both are copies of what `tree` was just given.
        Ok(DomainTables {
            table,
            pages,
            snoop: AtomicBool::new(false),
            tree,
        })
    }

    /// Returns the memory of the tables, which allocates as `gfp` allows.
    #[inline(always)]
    fn memory(&self, gfp: Gfp) -> Memory<F, COHERENT> {
        Memory::new(self.pages, gfp)
    }

    /// Returns what gathers changes of the tables into `gather`.
    fn gathers_into<'a>(&'a self, gather: Pin<&'a mut Gather>) -> TableGather<'a> {
        TableGather {
            pages: &self.pages,
            readers: &self.tree.readers,
            gather,
        }
    }

    /// Returns the shared part of the tables, for reports and for the context entries.
    pub fn shared(&self) -> Arc<dyn SharedTables> {
        self.tree.clone()
    }

    /// Sets the snoop bit in all leaves that are written from now on.
    ///
    /// # Context
    ///
    /// Any context.
    pub fn snoop(&self) {
        self.snoop.store(true, Ordering::Release)
    }

    /// Maps a range to memory from `to` on, and allocates missing tables.
    ///
    /// A large page may replace an empty table. That table is freed after `paging`, whose tables
    /// these are, has invalidated its range. Entries that a failed map wrote and cleared again were
    /// visible for a moment, so their range is invalidated as well.
    ///
    /// # Errors
    ///
    /// `ERANGE` if the range is outside the aperture, or the memory outside what entries can hold;
    /// `EADDRINUSE` if a part is mapped; [`ENOMEM`] if an allocation fails; [`EINVAL`] if the range
    /// is empty or not whole pages. No mapping has changed then.
    ///
    /// # Context
    ///
    /// Any context that `gfp` allows.
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
        let mem = tables.memory(gfp);
        if let Err(rest) = tables.table.map_fast(&mem, iova, to, len, prot) {
            tables.map_slow(rest, gfp, paging)?;
        }
        Ok(())
    }

    /// Maps what the fast path has left unmapped, in a range that the caller of [`Self::map`]
    /// holds.
    #[cold]
    #[inline(never)]
    fn map_slow<P: Paging>(&self, rest: PendingMap, gfp: Gfp, paging: &P) -> Result {
        let mem = self.memory(gfp);
        let rest = match self.table.map_existing(&mem, rest) {
            Ok(()) => return Ok(()),
            Err(rest) => rest,
        };
        Gather::with_own(paging, |gather| {
            let gather = &mut self.gathers_into(gather);
            self.table.map_gathered(&mem, rest, gather).map_err(errno)
        })
    }

    /// Unmaps a range up to the first hole, and returns the number of bytes. Puts tables that
    /// became empty on `gather`, together with their range; the caller adds the range of the other
    /// entries.
    ///
    /// # Context
    ///
    /// Any context.
    #[inline(always)]
    pub fn unmap(range: Held<'_, Self>, gather: Pin<&mut Gather>) -> u64 {
        let (iova, len) = (range.iova(), range.len());
        let tables = range.tables();
        let mem = tables.memory(Gfp::KERNEL);
        match tables.table.unmap_fast(&mem, Iova::new(iova), len) {
            Ok(bytes) => bytes,
            Err(rest) => tables.unmap_slow(rest, iova, gather),
        }
    }

    /// Unmaps what the fast path could not: ranges whose tables become empty, and ranges in which
    /// something is not mapped.
    #[cold]
    #[inline(never)]
    fn unmap_slow(&self, rest: PendingUnmap, iova: u64, gather: Pin<&mut Gather>) -> u64 {
        let mem = self.memory(Gfp::KERNEL);
        let rest = match self.table.unmap_existing(&mem, rest) {
            Ok(bytes) => return bytes,
            Err(rest) => rest,
        };
        let gather = &mut self.gathers_into(gather);
        self.table
            .unmap_gathered(&mem, rest, Iova::new(iova), gather)
    }

    /// Unmaps a range if it is [one page](PageTable::unmap_page), and returns its memory.
    ///
    /// # Errors
    ///
    /// The range, if it is not.
    ///
    /// # Context
    ///
    /// Any context.
    #[inline(always)]
    pub fn unmap_page(range: Held<'_, Self>) -> Result<PhysAddr, Held<'_, Self>> {
        let tables = range.tables();
        let mem = tables.memory(Gfp::KERNEL);
        tables
            .table
            .unmap_page(&mem, Iova::new(range.iova()), range.len())
            .ok_or(range)
    }

    /// Returns the memory that a range is mapped to, before it is unmapped; [`None`] if that is
    /// [too much to remember](PageTable::mapped_memory).
    ///
    /// # Context
    ///
    /// Any context.
    #[inline]
    pub fn mapped_memory(range: &Held<'_, Self>) -> Option<MappedMemory> {
        let tables = range.tables();
        let mem = tables.memory(Gfp::KERNEL);
        tables
            .table
            .mapped_memory(&mem, Iova::new(range.iova()), range.len())
    }

    /// Returns the physical address that the first byte of a range is mapped to.
    ///
    /// # Context
    ///
    /// Any context.
    pub fn iova_to_phys(range: &Held<'_, Self>) -> Option<PhysAddr> {
        let tables = range.tables();
        let mem = tables.memory(Gfp::KERNEL);
        let found = tables.table.query(&mem, Iova::new(range.iova()))?;
        Some(found.paddr)
    }
}

/// The core's gather, for the changes of one call to the tables of a domain. The call holds the range
/// of each table that it retires, and the gather is invalidated after it.
struct TableGather<'a> {
    pages: &'a table_pages::TablePages,
    readers: &'a Readers,
    gather: Pin<&'a mut Gather>,
}

impl FlushGather<table_pages::TablePage> for TableGather<'_> {
    fn retire(&mut self, table: table_pages::TablePage) {
        // SAFETY: A live table, which `vtd_core::pgtable` retires once and does not use afterwards.
        // Its range is held, so only readers can be in it; `vtd_core` waits until they have ended,
        // and adds the range, before the call returns.
        unsafe { self.pages.retire(table, self.gather.as_mut()) }
    }

    fn wait_for_readers(&mut self) {
        self.readers.wait()
    }

    fn add(&mut self, iova: Iova, len: u64) {
        self.gather.as_mut().add(iova.raw(), len)
    }
}

/// Returns the errno of a failed map.
fn errno(error: MapError) -> Error {
    match error {
        MapError::OutsideAperture { .. } | MapError::OutsideMemory { .. } => ERANGE,
        MapError::AddressInUse { .. } => eaddrinuse(),
        MapError::OutOfMemory => ENOMEM,
        _ => EINVAL,
    }
}
