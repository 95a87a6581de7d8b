// SPDX-License-Identifier: GPL-2.0

//! What an unmap has gathered for the flush that follows it.

use crate::bindings;
use kernel::types::Opaque;

/// A range of IOVA to be flushed, and the tables to be freed afterwards.
#[repr(transparent)]
pub struct Gather(Opaque<bindings::iommu_iotlb_gather>);

impl Gather {
    /// # Safety
    ///
    /// `ptr` must point at an initialised gather that no one else uses for `'a`.
    pub(crate) unsafe fn from_raw<'a>(ptr: *mut bindings::iommu_iotlb_gather) -> &'a mut Self {
        // SAFETY: By this function's contract; the type is transparent.
        unsafe { &mut *ptr.cast() }
    }

    /// Lends `f` a gather of its own. Tables that are in it afterwards are freed: `f` has flushed.
    #[inline]
    pub fn with_own<R>(f: impl FnOnce(&mut Gather) -> R) -> R {
        let mut own = bindings::iommu_iotlb_gather {
            start: usize::MAX,
            ..Default::default()
        };
        let list = &raw mut own.freelist.pages;
        own.freelist.pages.next = list;
        own.freelist.pages.prev = list;
        // SAFETY: Initialised above, and not moved before `f` and the freeing are done.
        let gather = unsafe { Self::from_raw(&raw mut own) };
        let result = f(gather);
        gather.free_tables();
        result
    }

    #[inline(always)]
    fn fields(&mut self) -> &mut bindings::iommu_iotlb_gather {
        // SAFETY: Initialised and exclusively ours by the contract of `from_raw`.
        unsafe { &mut *self.0.get() }
    }

    /// Widens the range to hold `iova..iova + len`; an empty range changes nothing.
    #[inline]
    pub fn add(&mut self, iova: u64, len: u64) {
        let Some(last) = len.checked_sub(1).and_then(|n| iova.checked_add(n)) else {
            return;
        };
        let fields = self.fields();
        fields.start = fields.start.min(iova as usize);
        fields.end = fields.end.max(last as usize);
    }

    /// First and last byte of the range.
    #[inline]
    pub fn range(&mut self) -> (u64, u64) {
        let fields = self.fields();
        (fields.start as u64, fields.end as u64)
    }

    /// Whether tables wait to be freed.
    #[inline]
    pub fn has_tables(&mut self) -> bool {
        let head = &raw mut self.fields().freelist.pages;
        // SAFETY: The list is initialised with the gather: an empty one points at itself.
        unsafe { (*head).next != head }
    }

    /// Whether the core defers the flush.
    #[inline]
    pub fn is_queued(&mut self) -> bool {
        self.fields().queued
    }

    pub(crate) fn freelist(&mut self) -> *mut bindings::iommu_pages_list {
        &mut self.fields().freelist
    }

    /// Frees the tables. Only for the layer itself, after the driver's flush has returned.
    #[inline]
    pub(crate) fn free_tables(&mut self) {
        if !self.has_tables() {
            return;
        }
        // SAFETY: The list holds pages of iommu_alloc_pages_node_sz() only, which `radix` put
        // there, and no hardware reaches them any more.
        unsafe { bindings::iommu_put_pages_list(self.freelist()) }
    }
}
