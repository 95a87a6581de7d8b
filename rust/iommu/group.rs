// SPDX-License-Identifier: GPL-2.0

//! Groups of devices, as the core forms them.

use crate::bindings;
use core::ptr::NonNull;

/// A counted reference to an IOMMU group.
///
/// A device may leave its group at any time: when it is removed, or when its unit is unregistered.
/// The reference keeps the group alive, whichever devices are in it.
///
/// # Invariants
///
/// Carries one reference.
pub struct Group(NonNull<bindings::iommu_group>);

// SAFETY: A reference belongs to no thread, and the core locks what it does to a group.
unsafe impl Send for Group {}
// SAFETY: As above.
unsafe impl Sync for Group {}

impl Group {
    /// Takes a reference.
    ///
    /// # Safety
    ///
    /// `group` must be null or a group to which the caller has a reference.
    pub(super) unsafe fn get(group: *mut bindings::iommu_group) -> Option<Self> {
        let group = NonNull::new(group)?;
        // SAFETY: Live by this function's contract.
        unsafe { bindings::iommu_group_ref_get(group.as_ptr()) };
        // INVARIANT: Counted just now.
        Some(Group(group))
    }

    /// Takes over a reference.
    ///
    /// # Safety
    ///
    /// `group` must be null or carry a reference, which is given to the result.
    #[inline]
    pub(crate) unsafe fn adopt(group: *mut bindings::iommu_group) -> Option<Self> {
        // INVARIANT: Carries a reference by this function's contract.
        NonNull::new(group).map(Group)
    }

    /// Returns the pointer for C.
    #[inline]
    pub(crate) fn as_raw(&self) -> *mut bindings::iommu_group {
        self.0.as_ptr()
    }

    /// Returns its number, which the core reuses after the group is freed.
    ///
    /// # Context
    ///
    /// Any context.
    pub fn id(&self) -> u32 {
        // SAFETY: Live by the type's invariants.
        (unsafe { bindings::iommu_group_id(self.as_raw()) }) as u32
    }

    /// Returns whether it has an owner: drivers that the core has counted, a user, or a module that
    /// claimed it.
    ///
    /// # Context
    ///
    /// Takes the group's mutex; sleeps. Must not be called in a callback of the core that holds it.
    pub fn is_owned(&self) -> bool {
        // SAFETY: Live by the type's invariants.
        unsafe { bindings::iommu_group_dma_owner_claimed(self.as_raw()) }
    }
}

impl Clone for Group {
    fn clone(&self) -> Self {
        // SAFETY: Live by the type's invariants.
        unsafe { bindings::iommu_group_ref_get(self.as_raw()) };
        // INVARIANT: Counted just now.
        Group(self.0)
    }
}

impl Drop for Group {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: Gives up the reference that the invariants promise.
        unsafe { bindings::iommu_group_put(self.as_raw()) }
    }
}
