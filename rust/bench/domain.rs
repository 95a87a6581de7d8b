// SPDX-License-Identifier: GPL-2.0

//! An unmanaged paging domain.

use super::claim::Claim;
use crate::bindings;
use crate::pages::Gfp;
use crate::pci::PciDevice;
use core::ptr::NonNull;
use kernel::error::{from_err_ptr, to_result};
use kernel::prelude::*;

/// An unmanaged paging domain, which is freed with this.
///
/// A caller that maps, unmaps or reads it borrows it alone: the core leaves it to its users to keep
/// maps and unmaps of one range apart.
///
/// # Invariants
///
/// `ptr` was allocated for this and not freed. The groups of `claims`, and no others, are
/// attached, but for the last while it is being attached.
pub struct ConsumerDomain {
    ptr: NonNull<bindings::iommu_domain>,
    claims: KVec<Claim>,
}

// SAFETY: A domain belongs to no thread.
unsafe impl Send for ConsumerDomain {}

/// The result of a map, as the core returned it: a caller that times the map need not time the
/// check.
#[must_use = "the map may have failed"]
pub struct MapStatus(i32);

impl MapStatus {
    /// Returns the error, if it is one.
    #[inline]
    pub fn ok(self) -> Result {
        to_result(self.0)
    }
}

impl ConsumerDomain {
    /// Allocates a domain for `device` and others behind the same driver, in which nothing is
    /// mapped, with `room` for so many groups before an attach has to allocate. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`], or that of the core.
    #[inline]
    pub fn new(device: &PciDevice, room: usize) -> Result<Self> {
        let claims = KVec::with_capacity(room, GFP_KERNEL)?;
        let dev = device.as_device().as_raw();
        // SAFETY: A live device.
        let ptr = from_err_ptr(unsafe { bindings::iommu_paging_domain_alloc_flags(dev, 0) })?;
        // INVARIANT: Fresh, with nothing attached.
        Ok(ConsumerDomain {
            ptr: NonNull::new(ptr).ok_or(ENOMEM)?,
            claims,
        })
    }

    /// Maps `len` bytes from `iova` on to `phys`, for reading and writing; all of them, or an error
    /// and none. Sleeps only if `gfp` lets it.
    #[inline(always)]
    pub fn map(&mut self, iova: u64, phys: u64, len: u64, gfp: Gfp) -> MapStatus {
        let prot = bindings::IOMMU_READ | bindings::IOMMU_WRITE;
        // SAFETY: A live domain, which nobody else uses concurrently. Its devices are silent by the
        // invariants of their claims, so any memory may be named.
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

    /// Unmaps up to `len` bytes from `iova` on, and returns how many were. Any context.
    #[inline(always)]
    pub fn unmap(&mut self, iova: u64, len: u64) -> u64 {
        // SAFETY: A live domain, which nobody else uses concurrently.
        unsafe { bindings::iommu_unmap(self.ptr.as_ptr(), iova as usize, len as usize) as u64 }
    }

    /// Returns the physical address that `iova` is mapped to; the core cannot tell address 0 from
    /// none.
    #[inline]
    pub fn translate(&self, iova: u64) -> Option<u64> {
        // SAFETY: A live domain, which nobody changes concurrently.
        match unsafe { bindings::iommu_iova_to_phys(self.ptr.as_ptr(), iova) } {
            0 => None,
            phys => Some(phys),
        }
    }

    /// Attaches a group. May sleep.
    ///
    /// # Errors
    ///
    /// That of the core; the claim is released then.
    #[inline]
    pub fn attach(&mut self, claim: Claim) -> Result {
        let group = claim.group();
        self.claims.push(claim, GFP_KERNEL)?;
        // SAFETY: A live domain, and a group that is ours by its claim.
        let done = to_result(unsafe { bindings::iommu_attach_group(self.ptr.as_ptr(), group) });
        if done.is_err() {
            self.claims.pop();
        }
        done
    }

    /// Detaches the group that was attached last, and returns its claim; it reaches no memory then.
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
