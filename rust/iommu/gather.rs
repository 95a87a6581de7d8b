// SPDX-License-Identifier: GPL-2.0

//! The range and the tables that unmaps gather for the invalidation that follows.

use crate::bindings;
use core::pin::Pin;
use kernel::types::Opaque;

/// A range of IOVA to be invalidated, and the tables to be freed afterwards.
///
/// It contains the head of a list, so it is borrowed pinned: safe code can move or swap references
/// to it, but not the structure itself.
#[repr(transparent)]
pub struct Gather(Opaque<bindings::iommu_iotlb_gather>);

impl Gather {
    /// Borrows the core's gather.
    ///
    /// # Safety
    ///
    /// `ptr` must point at an initialised gather that is not moved and that no one else uses for
    /// `'a`.
    pub(crate) unsafe fn from_raw<'a>(ptr: *mut bindings::iommu_iotlb_gather) -> Pin<&'a mut Self> {
        // SAFETY: By this function's contract; the type is transparent.
        unsafe { Pin::new_unchecked(&mut *ptr.cast()) }
    }

    /// Extends the range to contain `iova..iova + len`; an empty range changes nothing.
    #[inline]
    pub fn add(self: Pin<&mut Self>, iova: u64, len: u64) {
        let Some(last) = len.checked_sub(1).and_then(|n| iova.checked_add(n)) else {
            return;
        };
        let fields = self.0.get();
        // SAFETY: Initialised and exclusively ours by the contract of `from_raw`.
        unsafe {
            (*fields).start = (*fields).start.min(iova as usize);
            (*fields).end = (*fields).end.max(last as usize);
        }
    }

    /// Returns the first and the last byte of the range.
    #[inline]
    pub fn range(&self) -> (u64, u64) {
        let fields = self.0.get();
        // SAFETY: Initialised by the contract of `from_raw`; changed by a unique reference only.
        unsafe { ((*fields).start as u64, (*fields).end as u64) }
    }

    /// Returns whether its range is empty.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        let (first, last) = self.range();
        last < first
    }

    /// Returns whether tables wait to be freed.
    #[inline]
    pub fn has_tables(&self) -> bool {
        // SAFETY: As in `range`; an empty list points at itself.
        unsafe {
            let head = &raw mut (*self.0.get()).freelist.pages;
            (*head).next != head
        }
    }

    /// Returns whether the core defers the invalidation.
    #[inline]
    pub fn is_queued(&self) -> bool {
        // SAFETY: As in `range`.
        unsafe { (*self.0.get()).queued }
    }

    /// Has the core invalidate the range before the unmap returns, although it wanted to defer that.
    ///
    /// The core reads its choice from here after the unmap (`__iommu_dma_unmap`): it calls
    /// `iotlb_sync`, and frees the addresses then.
    #[inline]
    pub fn flush_now(self: Pin<&mut Self>) {
        // SAFETY: Initialised and exclusively ours by the contract of `from_raw`.
        unsafe { (*self.0.get()).queued = false }
    }

    /// Returns the list of tables; valid as long as the gather.
    pub(crate) fn freelist(self: Pin<&mut Self>) -> *mut bindings::iommu_pages_list {
        // SAFETY: Only a place is computed.
        unsafe { &raw mut (*self.0.get()).freelist }
    }

    /// Frees the tables. Only this crate calls it, after the driver's
    /// [`iotlb_sync`](super::traits::Paging::iotlb_sync) has returned.
    #[inline]
    pub(crate) fn free_tables(self: Pin<&mut Self>) {
        if !self.has_tables() {
            return;
        }
        // SAFETY: The list holds what `table_pages::TablePages::retire` put there: live pages of
        // iommu_alloc_pages_node_sz(), which are not used after the invalidation, by its contract.
        unsafe { bindings::iommu_put_pages_list(self.freelist()) }
    }
}
