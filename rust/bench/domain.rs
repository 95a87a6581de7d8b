// SPDX-License-Identifier: GPL-2.0

//! An unmanaged paging domain, for the user of the core's interface.

use super::claim::Claim;
use crate::bindings;
use crate::pages::Gfp;
use crate::pci::PciDevice;
use core::ptr::NonNull;
use kernel::error::{from_err_ptr, to_result};
use kernel::prelude::*;

/// An unmanaged paging domain, which is freed with this.
///
/// Map and unmap borrow it exclusively: the core requires its users to serialise maps and unmaps of
/// one range.
///
/// # Invariants
///
/// `ptr` was allocated for this and not freed. Exactly the groups of `claims` are attached, except
/// for the last one while it is being attached.
pub struct ConsumerDomain {
    ptr: NonNull<bindings::iommu_domain>,
    claims: KVec<Claim>,
}

// SAFETY: A domain belongs to no thread.
unsafe impl Send for ConsumerDomain {}

/// The result of a map, as the core returned it, so that a caller can measure the map without the
/// check.
#[must_use = "the map may have failed"]
pub struct MapStatus(i32);

impl MapStatus {
    /// Checks the result.
    ///
    /// # Errors
    ///
    /// That of the map.
    #[inline]
    pub fn ok(self) -> Result {
        to_result(self.0)
    }
}

impl ConsumerDomain {
    /// Allocates an empty domain for `device` and other devices of the same IOMMU driver. Up to
    /// `room` groups can be attached without an allocation.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails, or that of the core.
    ///
    /// # Context
    ///
    /// May sleep.
    #[inline]
    pub fn new(device: &PciDevice, room: usize) -> Result<Self> {
        let claims = KVec::with_capacity(room, GFP_KERNEL)?;
        let dev = device.as_device().as_raw();
        // SAFETY: A live device.
        let ptr = from_err_ptr(unsafe { bindings::iommu_paging_domain_alloc_flags(dev, 0) })?;
        // INVARIANT: Allocated just now, with nothing attached.
        Ok(ConsumerDomain {
            ptr: NonNull::new(ptr).ok_or(ENOMEM)?,
            claims,
        })
    }

    /// Maps `len` bytes from `iova` on to `phys`, for reading and writing; all of them, or none if
    /// it fails. Sleeps only if `gfp` allows it.
    #[inline(always)]
    pub fn map(&mut self, iova: u64, phys: u64, len: u64, gfp: Gfp) -> MapStatus {
        let prot = bindings::IOMMU_READ | bindings::IOMMU_WRITE;
        // SAFETY: A live domain, which is borrowed exclusively. Its devices do no DMA by the
        // invariants of their claims, so any memory may be mapped.
        MapStatus(unsafe {
            bindings::iommu_map(
                self.ptr.as_ptr(),
                iova as usize,
                phys,
                len as usize,
                prot as i32,
                gfp.0,
            )
        })
    }

    /// Unmaps up to `len` bytes from `iova` on, and returns how many were unmapped.
    ///
    /// # Context
    ///
    /// Any context.
    #[inline(always)]
    pub fn unmap(&mut self, iova: u64, len: u64) -> u64 {
        // SAFETY: A live domain, which is borrowed exclusively.
        unsafe { bindings::iommu_unmap(self.ptr.as_ptr(), iova as usize, len as usize) as u64 }
    }

    /// Returns the physical address that `iova` is mapped to. The core returns 0 for an unmapped
    /// address, so a mapping to address 0 is not recognised.
    #[inline]
    pub fn translate(&self, iova: u64) -> Option<u64> {
        // SAFETY: A live domain, which is borrowed, so it is not changed concurrently.
        match unsafe { bindings::iommu_iova_to_phys(self.ptr.as_ptr(), iova) } {
            0 => None,
            phys => Some(phys),
        }
    }

    /// Attaches a group.
    ///
    /// # Errors
    ///
    /// That of the core; the claim is released then.
    ///
    /// # Context
    ///
    /// May sleep.
    #[inline]
    pub fn attach(&mut self, claim: Claim) -> Result {
        let group = claim.group();
        self.claims.push(claim, GFP_KERNEL)?;
        // SAFETY: A live domain, and a group that is claimed by this module.
        let done = to_result(unsafe { bindings::iommu_attach_group(self.ptr.as_ptr(), group) });
        if done.is_err() {
            self.claims.pop();
        }
        done
    }

    /// Detaches the group that was attached last, and returns its claim. The group is then blocked.
    ///
    /// # Context
    ///
    /// May sleep.
    #[inline]
    pub fn detach(&mut self) -> Option<Claim> {
        let claim = self.claims.pop()?;
        // SAFETY: Attached by the type's invariants.
        unsafe { bindings::iommu_detach_group(self.ptr.as_ptr(), claim.group()) };
        Some(claim)
    }
}

impl Drop for ConsumerDomain {
    #[inline]
    fn drop(&mut self) {
        while let Some(claim) = self.detach() {
            drop(claim);
        }
        // SAFETY: Allocated by the type's invariants, and nothing is attached any more.
        unsafe { bindings::iommu_domain_free(self.ptr.as_ptr()) }
    }
}
