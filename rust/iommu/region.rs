// SPDX-License-Identifier: GPL-2.0

//! Reserved IOVA regions of a device.

use crate::bindings;
use core::pin::Pin;
use kernel::types::Opaque;

/// The kind of a reserved region.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum RegionKind {
    /// Mapped one to one at all times.
    Direct,
    /// Mapped one to one for the kernel, but not needed when a user has the device.
    DirectRelaxable,
    /// Never mapped, and never used as an IOVA.
    Reserved,
    /// Writes here are interrupts and are not translated.
    Msi,
}

/// An allocation that never fails: the core cannot be notified that a region is missing, and would
/// use its addresses.
const NEVER_FAILS: bindings::gfp_t = bindings::GFP_KERNEL | 1 << bindings::___GFP_NOFAIL_BIT;

/// The list to which a driver adds its device's regions; borrowed pinned, because it is the list's
/// head.
#[repr(transparent)]
pub struct Regions(Opaque<bindings::list_head>);

impl Regions {
    /// Borrows the core's list.
    ///
    /// # Safety
    ///
    /// `list` must be the list that the core passed to `get_resv_regions`, and not be used
    /// otherwise for `'a`.
    pub(crate) unsafe fn from_raw<'a>(list: *mut bindings::list_head) -> Pin<&'a mut Self> {
        // SAFETY: By this function's contract; the core does not move it, and the type is
        // transparent.
        unsafe { Pin::new_unchecked(&mut *list.cast()) }
    }

    /// Adds `length` bytes from `start` on; the device may read and write them unless `kind` is
    /// [`RegionKind::Reserved`]. Waits for memory as long as it takes.
    ///
    /// # Context
    ///
    /// Process context.
    pub fn add(self: Pin<&mut Self>, start: u64, length: u64, kind: RegionKind) {
        let (kind, prot) = match kind {
            RegionKind::Direct => (bindings::iommu_resv_type_IOMMU_RESV_DIRECT, true),
            RegionKind::DirectRelaxable => {
                (bindings::iommu_resv_type_IOMMU_RESV_DIRECT_RELAXABLE, true)
            }
            RegionKind::Reserved => (bindings::iommu_resv_type_IOMMU_RESV_RESERVED, false),
            RegionKind::Msi => (bindings::iommu_resv_type_IOMMU_RESV_MSI, true),
        };
        let prot = if prot {
            bindings::IOMMU_READ | bindings::IOMMU_WRITE
        } else {
            0
        };
        // SAFETY: Any range may be described; the core frees the region with the list.
        let region = unsafe {
            bindings::iommu_alloc_resv_region(
                start,
                length as usize,
                prot as i32,
                kind,
                NEVER_FAILS,
            )
        };
        if !region.is_null() {
            // SAFETY: A fresh region; the list is initialised and ours for the callback.
            unsafe { bindings::list_add_tail(&raw mut (*region).list, self.0.get()) };
        }
    }
}
