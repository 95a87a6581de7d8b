// SPDX-License-Identifier: GPL-2.0

//! A claimed group, which no driver uses and which does no DMA.

use crate::bindings;
use crate::errno::eopnotsupp;
use crate::iommu::Group;
use crate::pci::{PciDevice, RescanLock};
use core::ffi::c_void;
use core::ptr;
use kernel::error::to_result;
use kernel::prelude::*;

/// The claimed group of a device. While this lives, no driver uses the group and it does no DMA.
///
/// # Invariants
///
/// `group` was claimed for `_owner`, whose address no other claim has. No endpoint in it is a bus
/// master. A device that is added later is not one either, and the core does not bind a driver that
/// would change this. The group is claimed, not its devices: they can still be removed.
pub struct Claim {
    group: Group,
    _owner: KBox<u64>,
}

impl Claim {
    /// Claims the group of `device` and turns bus mastering off in it. Bus mastering stays off
    /// afterwards: a driver turns it on when it needs it.
    ///
    /// # Errors
    ///
    /// [`EPERM`] if a driver or another claim has the group; [`EBUSY`] if it is attached to a
    /// domain other than its default one; [`ENODEV`] without a group; `EOPNOTSUPP` if a member is
    /// not a PCI device, so that its bus mastering cannot be turned off.
    ///
    /// # Context
    ///
    /// Takes the PCI core's rescan lock and the group's mutex; sleeps.
    #[inline]
    pub fn new(device: &PciDevice) -> Result<Self> {
        let owner = KBox::new(0, GFP_KERNEL)?;
        let group = {
            let _stays = RescanLock::lock();
            // SAFETY: A live device. A member leaves its group when it is removed, for which the
            // PCI core requires this lock, or when its unit is unregistered, which no driver does
            // without this lock while there are devices. So the group exists until a reference is
            // taken.
            unsafe { Group::adopt(bindings::iommu_group_get(device.as_device().as_raw())) }
        };
        let group = group.ok_or(ENODEV)?;
        // SAFETY: A live group. The owner is an address that is compared and never followed.
        to_result(unsafe {
            bindings::iommu_group_claim_dma_owner(group.as_raw(), Self::token(&owner))
        })?;
        // INVARIANT: Claimed just now for a unique address. Bus mastering of its members is turned
        // off before this is returned.
        let claim = Claim {
            group,
            _owner: owner,
        };
        claim.for_each_member(Self::silence, ptr::null_mut())?;
        Ok(claim)
    }

    /// Returns the owner for C.
    fn token(owner: &u64) -> *mut c_void {
        (&raw const *owner).cast_mut().cast()
    }

    /// Counts the devices in the group.
    ///
    /// # Errors
    ///
    /// That of the core.
    ///
    /// # Context
    ///
    /// May sleep.
    #[inline]
    pub fn members(&self) -> Result<usize> {
        let mut count = 0usize;
        self.for_each_member(Self::count, (&raw mut count).cast())?;
        Ok(count)
    }

    /// Returns the group for C.
    #[inline]
    pub(super) fn group(&self) -> *mut bindings::iommu_group {
        self.group.as_raw()
    }

    /// Calls `visit` for each member.
    #[inline]
    fn for_each_member(
        &self,
        visit: unsafe extern "C" fn(*mut bindings::device, *mut c_void) -> i32,
        data: *mut c_void,
    ) -> Result {
        // SAFETY: A live group by the type's invariants; `data` is what the visitor expects.
        to_result(unsafe {
            bindings::iommu_group_for_each_dev(self.group.as_raw(), data, Some(visit))
        })
    }

    /// Turns bus mastering off in a member: the function of `iommu_group_for_each_dev()`.
    ///
    /// # Safety
    ///
    /// Called by the IOMMU core for the members of a group, with a live device and the mutex of the
    /// group held.
    #[inline]
    unsafe extern "C" fn silence(dev: *mut bindings::device, _data: *mut c_void) -> i32 {
        // SAFETY: The core passes a live device, which is converted only if it is on the PCI bus.
        unsafe {
            if !bindings::vtd_helper_dev_is_pci(dev) {
                return eopnotsupp().to_errno();
            }
            let raw = bindings::vtd_helper_to_pci_dev(dev);
            // A bridge only forwards requests, and devices of other groups may be behind it.
            if PciDevice::get(raw).is_some_and(|device| !device.is_bridge()) {
                bindings::pci_clear_master(raw);
            }
        }
        0
    }

    /// Counts a member: the function of `iommu_group_for_each_dev()`.
    ///
    /// # Safety
    ///
    /// Called by the IOMMU core for the members of a group, with what [`Self::members`] passes.
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
        // SAFETY: Claimed by the type's invariants. The caller has detached the group.
        unsafe { bindings::iommu_group_release_dma_owner(self.group.as_raw()) }
    }
}
