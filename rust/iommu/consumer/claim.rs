// SPDX-License-Identifier: GPL-2.0

//! A device that is ours and silent.

use crate::bindings;
use crate::errno::eopnotsupp;
use crate::pci::PciDevice;
use core::ffi::c_void;
use core::ptr::{self, NonNull};
use kernel::error::to_result;
use kernel::prelude::*;

/// The group of a device, which is no driver's and does no DMA while this lives.
///
/// # Invariants
///
/// `device` was claimed for `_owner`, whose address no other claim has. `group` is its group and
/// carries one reference. No endpoint in it is a bus master; who joins it later starts as none,
/// and the core lets no driver that would change this be bound.
pub struct Claim {
    device: PciDevice,
    group: NonNull<bindings::iommu_group>,
    _owner: KBox<u64>,
}

// SAFETY: A claim belongs to no thread, and the core locks what it does to a group.
unsafe impl Send for Claim {}
// SAFETY: As above.
unsafe impl Sync for Claim {}

impl Claim {
    /// Claims the group of `device` and turns bus mastering off in it, where it stays off: a driver
    /// turns it on for itself.
    ///
    /// [`EBUSY`] while a driver has a device of the group, [`EPERM`] while another claim has it,
    /// [`ENODEV`] without a group, `EOPNOTSUPP` for a member that is no PCI device and so cannot
    /// be silenced. May sleep.
    #[inline]
    pub fn new(device: PciDevice) -> Result<Self> {
        let owner = KBox::new(0, GFP_KERNEL)?;
        let raw = device.as_device().as_raw();
        // SAFETY: A live device. The owner is an address that is compared and never followed.
        let group = unsafe {
            to_result(bindings::iommu_device_claim_dma_owner(
                raw,
                Self::token(&owner),
            ))?;
            bindings::iommu_group_get(raw)
        };
        let Some(group) = NonNull::new(group) else {
            // SAFETY: Claimed just now.
            unsafe { bindings::iommu_device_release_dma_owner(raw) };
            return Err(ENODEV);
        };
        // INVARIANT: Claimed just now for an address of its own, with a count of the group's; its
        // members are silenced before anybody sees this.
        let claim = Claim {
            device,
            group,
            _owner: owner,
        };
        claim.for_each_member(Self::silence, ptr::null_mut())?;
        Ok(claim)
    }

    fn token(owner: &u64) -> *mut c_void {
        (&raw const *owner).cast_mut().cast()
    }

    /// Devices in the group. May sleep.
    #[inline]
    pub fn members(&self) -> Result<usize> {
        let mut count = 0usize;
        self.for_each_member(Self::count, (&raw mut count).cast())?;
        Ok(count)
    }

    #[inline]
    pub(super) fn group(&self) -> *mut bindings::iommu_group {
        self.group.as_ptr()
    }

    #[inline]
    fn for_each_member(
        &self,
        visit: unsafe extern "C" fn(*mut bindings::device, *mut c_void) -> i32,
        data: *mut c_void,
    ) -> Result {
        // SAFETY: A live group by the type's invariants; both visitors take what they are given.
        to_result(unsafe {
            bindings::iommu_group_for_each_dev(self.group.as_ptr(), data, Some(visit))
        })
    }

    /// # Safety
    ///
    /// For the core only, which calls it for the members of a group.
    #[inline]
    unsafe extern "C" fn silence(dev: *mut bindings::device, _data: *mut c_void) -> i32 {
        // SAFETY: The core passes a live device, which is converted only if it is on the PCI bus.
        unsafe {
            if !bindings::vtd_helper_dev_is_pci(dev) {
                return eopnotsupp().to_errno();
            }
            let raw = bindings::vtd_helper_to_pci_dev(dev);
            // A bridge only forwards, and others may be behind it.
            if PciDevice::get(raw).is_some_and(|device| !device.is_bridge()) {
                bindings::pci_clear_master(raw);
            }
        }
        0
    }

    /// # Safety
    ///
    /// For the core only, which calls it for the members of a group with a count.
    #[inline]
    unsafe extern "C" fn count(_dev: *mut bindings::device, count: *mut c_void) -> i32 {
        // SAFETY: What `members` passes.
        unsafe { *count.cast::<usize>() += 1 };
        0
    }
}

impl Drop for Claim {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: Claimed and counted by the type's invariants. Whoever drops a claim has detached
        // its group.
        unsafe {
            bindings::iommu_device_release_dma_owner(self.device.as_device().as_raw());
            bindings::iommu_group_put(self.group.as_ptr());
        }
    }
}
