// SPDX-License-Identifier: GPL-2.0

//! A paging domain of one's own.

use super::Claim;
use crate::bindings;
use crate::pages::Gfp;
use crate::pci::PciDevice;
use core::ptr::NonNull;
use kernel::error::{from_err_ptr, to_result};
use kernel::prelude::*;

/// An unmanaged paging domain, which goes with this.
///
/// Who changes or asks it holds it alone: the core leaves it to users that maps and unmaps of the
/// same range do not meet.
///
/// # Invariants
///
/// `ptr` was allocated for this and not freed. The groups of `claims`, and no others, are
/// attached, but for the last while it is being attached.
pub struct Domain {
    ptr: NonNull<bindings::iommu_domain>,
    claims: KVec<Claim>,
}

// SAFETY: A domain belongs to no thread.
unsafe impl Send for Domain {}

/// What the core said of a map, as it said it: who times the map need not time the look at it.
#[must_use = "the map may have failed"]
pub struct Answer(i32);

impl Answer {
    /// The error, if it is one.
    #[inline]
    pub fn ok(self) -> Result {
        to_result(self.0)
    }
}

impl Domain {
    /// A domain for `device` and others behind the same driver, in which nothing is mapped, with
    /// `room` for so many groups before an attach has to allocate. May sleep.
    #[inline]
    pub fn new(device: &PciDevice, room: usize) -> Result<Self> {
        let claims = KVec::with_capacity(room, GFP_KERNEL)?;
        let dev = device.as_device().as_raw();
        // SAFETY: A live device.
        let ptr = from_err_ptr(unsafe { bindings::iommu_paging_domain_alloc_flags(dev, 0) })?;
        // INVARIANT: Fresh, with nothing attached.
        Ok(Domain {
            ptr: NonNull::new(ptr).ok_or(ENOMEM)?,
            claims,
        })
    }

    /// Maps `len` bytes from `iova` on to `phys`, for reading and writing; all of them, or an error
    /// and none. Sleeps only if `gfp` lets it.
    #[inline(always)]
    pub fn map(&mut self, iova: u64, phys: u64, len: u64, gfp: Gfp) -> Answer {
        let prot = bindings::IOMMU_READ | bindings::IOMMU_WRITE;
        // SAFETY: A live domain, which nobody else uses meanwhile. Its devices are silent by the
        // invariants of their claims, so any memory may be named.
        Answer(unsafe {
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

    /// Unmaps up to `len` bytes from `iova` on; how many were. Any context.
    #[inline(always)]
    pub fn unmap(&mut self, iova: u64, len: u64) -> u64 {
        // SAFETY: A live domain, which nobody else uses meanwhile.
        unsafe { bindings::iommu_unmap(self.ptr.as_ptr(), iova as usize, len as usize) as u64 }
    }

    /// Where `iova` leads, if it is mapped; the core has no way to say that it leads to address 0.
    #[inline]
    pub fn translate(&self, iova: u64) -> Option<u64> {
        // SAFETY: A live domain, which nobody changes meanwhile.
        match unsafe { bindings::iommu_iova_to_phys(self.ptr.as_ptr(), iova) } {
            0 => None,
            phys => Some(phys),
        }
    }

    /// Attaches a group; an error gives it back to the kernel. May sleep.
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

    /// Detaches the group that was attached last, and hands it out; nothing can be reached from it
    /// then. May sleep.
    #[inline]
    pub fn detach(&mut self) -> Option<Claim> {
        let claim = self.claims.pop()?;
        // SAFETY: Attached by the type's invariants.
        unsafe { bindings::iommu_detach_group(self.ptr.as_ptr(), claim.group()) };
        Some(claim)
    }
}

impl Drop for Domain {
    #[inline]
    fn drop(&mut self) {
        while let Some(claim) = self.detach() {
            drop(claim);
        }
        // SAFETY: Allocated by the type's invariants, and nothing is attached any more.
        unsafe { bindings::iommu_domain_free(self.ptr.as_ptr()) }
    }
}
