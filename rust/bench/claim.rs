// SPDX-License-Identifier: GPL-2.0

//! A group that no driver uses and that does no DMA.

use crate::bindings;
use crate::errno::eopnotsupp;
use crate::iommu::Group;
use crate::pci::{PciDevice, RescanLock};
use core::ffi::c_void;
use core::ptr;
use kernel::error::to_result;
use kernel::prelude::*;

/// The group of a device, which is no driver's and does no DMA while this lives.
///
/// # Invariants
///
/// `group` was claimed for `_owner`, whose address no other claim has. No endpoint in it is a bus
/// master; who joins it later starts as none, and the core lets no driver that would change this be
/// bound. It is the group that is claimed, not a device: nobody keeps one from being removed.
pub struct Claim {
    group: Group,
    _owner: KBox<u64>,
}

impl Claim {
    /// Claims the group of `device` and turns bus mastering off in it, where it stays off: a driver
    /// turns it on for itself.
    ///
    /// # Errors
    ///
    /// [`EPERM`] while a driver or another claim has the group, [`EBUSY`] while it is attached to
    /// another domain than its default one, [`ENODEV`] without a group, `EOPNOTSUPP` for a member
    /// that is no PCI device and so cannot be silenced.
    ///
    /// # Context
    ///
    /// Takes the PCI core's rescan lock and the group's mutex; sleeps.
    #[inline]
    pub fn new(device: &PciDevice) -> Result<Self> {
        let owner = KBox::new(0, GFP_KERNEL)?;
        let group = {
            let _stays = RescanLock::lock();
            // SAFETY: A live device. A member of a group leaves it when it is removed, for which
            // the PCI core wants the lock held, or when its unit is unregistered, which no driver
            // does without it while devices are there; so the group stays until there is a
            // reference.
            unsafe { Group::adopt(bindings::iommu_group_get(device.as_device().as_raw())) }
        };
        let group = group.ok_or(ENODEV)?;
        // SAFETY: A live group. The owner is an address that is compared and never followed.
        to_result(unsafe {
            bindings::iommu_group_claim_dma_owner(group.as_raw(), Self::token(&owner))
        })?;
        // INVARIANT: Claimed just now for an address of its own; its members are silenced before
        // anybody sees this.
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

    /// Counts the devices in the group. May sleep.
    ///
    /// # Errors
    ///
    /// That of the core.
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
        // SAFETY: A live group by the type's invariants; both visitors take what they are given.
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
            // A bridge only forwards, and others may be behind it.
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
