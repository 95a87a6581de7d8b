// SPDX-License-Identifier: GPL-2.0

//! Table pages that hardware walks: allocation, links between them, and their way back.
//!
//! A table is a page of 512 entries of 64 bits. Handles are plain addresses in the direct map, and
//! a link is followed by arithmetic, without a look-up: this is the hot path of every mapping.
//!
//! # Who is trusted
//!
//! The functions here are safe to call and cannot check two things, which the one user of the
//! module answers for (`vtd_core::pgtable`, which forbids unsafe code, is compiled unchanged on the
//! host, and has these laws among its tests):
//!
//! - an entry is passed to [`Tables::follow`] only if [`Tables::phys`] of a live table of the
//!   same [`Tables`] was stored there;
//! - a table is [retired](Tables::retire) or [freed](Tables::free) once, after the last link to it
//!   is gone, and no handle to it is used afterwards.

use crate::bindings;
use crate::iommu::Gather;
use crate::pages::{flush_line, flush_lines, Gfp, NumaNode, PAGE_SIZE};
use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;
use kernel::prelude::*;

/// Entries of a table.
pub const ENTRIES: usize = 512;

/// One table page.
///
/// # Invariants
///
/// Points at a page from `iommu_alloc_pages_node_sz`, alive as the module documentation demands.
#[derive(Clone, Copy)]
pub struct Table(NonNull<[AtomicU64; ENTRIES]>);

// SAFETY: The page belongs to no thread and is only accessed through atomics.
unsafe impl Send for Table {}
// SAFETY: As above.
unsafe impl Sync for Table {}

impl Table {
    /// The entries.
    #[inline(always)]
    pub fn entries(&self) -> &[AtomicU64; ENTRIES] {
        // SAFETY: By the type's invariants.
        unsafe { self.0.as_ref() }
    }

    #[inline(always)]
    fn virt(self) -> *mut u8 {
        self.0.as_ptr().cast()
    }
}

/// Where tables come from, for one set of linked tables.
#[derive(Clone, Copy)]
pub struct Tables {
    direct_map: usize,
    node: NumaNode,
}

/// Bits of a link that are its address.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

impl Tables {
    /// Tables near `node`.
    pub fn new(node: NumaNode) -> Self {
        Tables {
            // SAFETY: Has no preconditions.
            direct_map: unsafe { bindings::vtd_helper_direct_map_base() } as usize,
            node,
        }
    }

    /// A table of zeroes. [`ENOMEM`] if no page can be had.
    #[inline]
    pub fn alloc(&self, gfp: Gfp) -> Result<Table> {
        // SAFETY: The node is online or none; any flags are allowed.
        let page =
            unsafe { bindings::iommu_alloc_pages_node_sz(self.node.raw(), gfp.0, PAGE_SIZE) };
        // INVARIANT: A fresh page.
        Ok(Table(NonNull::new(page.cast()).ok_or(ENOMEM)?))
    }

    /// Gives a table back that hardware cannot know any more.
    pub fn free(&self, table: Table) {
        // SAFETY: By the type's invariants and the module's contract.
        unsafe { bindings::iommu_free_pages(table.virt().cast()) }
    }

    /// Puts a table that was unlinked on the list of what is freed after the next flush.
    pub fn retire(&self, table: Table, gather: &mut Gather) {
        // SAFETY: The page came from iommu_alloc_pages_node_sz() and is on no other list.
        unsafe { bindings::vtd_helper_pages_list_add(gather.freelist(), table.virt().cast()) }
    }

    /// Physical address of a table.
    #[inline(always)]
    pub fn phys(&self, table: Table) -> u64 {
        (table.virt() as usize).wrapping_sub(self.direct_map) as u64
    }

    /// The table that a link points to; other bits than the address are ignored.
    #[inline(always)]
    pub fn follow(&self, link: u64) -> Table {
        let virt = self.direct_map.wrapping_add((link & ADDRESS) as usize);
        // SAFETY: By the module's contract `link` is the address of a live table, whose place in
        // the direct map is not null.
        // INVARIANT: As above.
        Table(unsafe { NonNull::new_unchecked(virt as *mut _) })
    }
}

/// Writes `count` entries of `table` from `first` on back to memory, for hardware that does not
/// snoop.
#[inline(always)]
pub fn write_back(table: Table, first: usize, count: usize) {
    let first = first.min(ENTRIES);
    let count = count.min(ENTRIES - first);
    if count == 1 {
        // SAFETY: The entry is one of the table's.
        unsafe { flush_line(table.virt().add(first * 8)) }
    } else if count > 0 {
        // SAFETY: Clipped to the page just above.
        unsafe { flush_lines(table.virt().add(first * 8), count * 8) }
    }
}
