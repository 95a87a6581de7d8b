// SPDX-License-Identifier: GPL-2.0

//! Table pages that hardware walks: allocation, links between them, and freeing.
//!
//! A table is a page of 512 entries of 64 bits. Handles are plain addresses in the direct map, and
//! a link is followed by arithmetic, without a look-up: this is the hot path of every map.
//!
//! Nothing here can check that a table is live, or that an entry is a link. So every function that
//! depends on it is unsafe, and only the crate `vtd_tables` uses them.

use super::gather::Gather;
use crate::bindings;
use crate::pages::{flush_line, flush_lines, Gfp, NumaNode, PAGE_SIZE};
use core::pin::Pin;
use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;
use kernel::prelude::*;

/// Entries of a table.
pub const ENTRIES: usize = 512;

/// One table page.
///
/// # Invariants
///
/// Points at what was a page from `iommu_alloc_pages_node_sz` when the handle was made. It may have
/// been freed since.
#[derive(Clone, Copy)]
pub struct TablePage(NonNull<[AtomicU64; ENTRIES]>);

// SAFETY: The page belongs to no thread and is only accessed through atomics.
unsafe impl Send for TablePage {}
// SAFETY: As above.
unsafe impl Sync for TablePage {}

impl TablePage {
    /// Returns the entries.
    ///
    /// # Safety
    ///
    /// The table must not be freed as long as the reference is used.
    #[inline(always)]
    pub unsafe fn entries(&self) -> &[AtomicU64; ENTRIES] {
        // SAFETY: A page of entries by the type's invariants, live by this function's contract.
        unsafe { self.0.as_ref() }
    }

    /// Returns the address of its first byte.
    #[inline(always)]
    fn virt(self) -> *mut u8 {
        self.0.as_ptr().cast()
    }
}

/// The allocator of the tables of one domain.
#[derive(Clone, Copy)]
pub struct TablePages {
    direct_map: usize,
    node: NumaNode,
}

/// The address bits of a link.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

impl TablePages {
    /// Creates an allocator of tables near `node`.
    pub fn new(node: NumaNode) -> Self {
        TablePages {
            // SAFETY: Has no preconditions.
            direct_map: unsafe { bindings::vtd_helper_direct_map_base() } as usize,
            node,
        }
    }

    /// Allocates a table of zeroes.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if no page can be allocated.
    #[inline]
    pub fn alloc(&self, gfp: Gfp) -> Result<TablePage> {
        // SAFETY: The node is online or none; any flags are allowed.
        let page =
            unsafe { bindings::iommu_alloc_pages_node_sz(self.node.raw(), gfp.0, PAGE_SIZE) };
        // INVARIANT: A fresh page.
        Ok(TablePage(NonNull::new(page.cast()).ok_or(ENOMEM)?))
    }

    /// Frees a table.
    ///
    /// # Safety
    ///
    /// The table must be live. No thread and no hardware may use it from now on.
    pub unsafe fn free(&self, table: TablePage) {
        // SAFETY: From iommu_alloc_pages_node_sz() by the type's invariants, and ours to free by
        // this function's contract.
        unsafe { bindings::iommu_free_pages(table.virt().cast()) }
    }

    /// Puts an unlinked table on the list of tables that are freed after the next invalidation.
    ///
    /// # Safety
    ///
    /// The table must be live and retired once. No processor may use it any more after the
    /// invalidation that `gather` is for. The caller must add the range of the table to `gather`.
    pub unsafe fn retire(&self, table: TablePage, gather: Pin<&mut Gather>) {
        // SAFETY: From iommu_alloc_pages_node_sz() by the type's invariants; by this function's
        // contract it is live and on no other list.
        unsafe { bindings::vtd_helper_pages_list_add(gather.freelist(), table.virt().cast()) }
    }

    /// Returns the physical address of a table.
    #[inline(always)]
    pub fn phys(&self, table: TablePage) -> u64 {
        (table.virt() as usize).wrapping_sub(self.direct_map) as u64
    }

    /// Returns the table that a link points to; other bits than the address are ignored.
    ///
    /// # Safety
    ///
    /// `link` must hold the [address](Self::phys) of a live table.
    #[inline(always)]
    pub unsafe fn follow(&self, link: u64) -> TablePage {
        let virt = self.direct_map.wrapping_add((link & ADDRESS) as usize);
        // SAFETY: The place of a page in the direct map, which is not null.
        // INVARIANT: The address of a live table, by this function's contract.
        TablePage(unsafe { NonNull::new_unchecked(virt as *mut _) })
    }
}

/// Writes `count` entries of `table` from `first` on back to memory, for hardware that does not
/// snoop processor caches.
///
/// # Safety
///
/// The table must be live.
#[inline(always)]
pub unsafe fn write_back(table: TablePage, first: usize, count: usize) {
    let first = first.min(ENTRIES);
    let count = count.min(ENTRIES - first);
    if count == 1 {
        // SAFETY: The entry is one of the table's, which is live.
        unsafe { flush_line(table.virt().add(first * 8)) }
    } else if count > 0 {
        // SAFETY: Clipped to the page just above, which is live.
        unsafe { flush_lines(table.virt().add(first * 8), count * 8) }
    }
}
