// SPDX-License-Identifier: GPL-2.0

//! From a callback of the core to the driver and what it keeps of a device.

use super::change::Change;
use super::operations::{Driver, Operations};
use crate::bindings;
use crate::device::Device;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};
use kernel::prelude::*;
use kernel::sync::{Arc, ArcBorrow};
use kernel::types::ForeignOwnable;

/// Where the callbacks find their driver: the core passes them only a device.
///
/// # Invariants
///
/// While not null, the operations of the driver, alive.
pub struct Context<D: Driver>(AtomicPtr<Operations<D>>);

impl<D: Driver> Context<D> {
    /// An empty context, for a static.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Context(AtomicPtr::new(ptr::null_mut()))
    }

    /// INVARIANT of the caller: `operations` is null or in an `Arc` that lives until it sets null.
    pub(super) fn set(&self, operations: *const Operations<D>) {
        self.0.store(operations.cast_mut(), Ordering::Release);
    }

    /// # Safety
    ///
    /// Must be called from a callback of the core, which come only while units are registered.
    pub(super) unsafe fn driver<'a>(&self) -> Option<&'a D> {
        // SAFETY: By the type's invariants, and because registered units keep the operations.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }.map(Operations::driver)
    }

    /// A reference to the operations of its own.
    ///
    /// # Safety
    ///
    /// As for [`Self::driver`].
    pub(super) unsafe fn operations(&self) -> Option<Arc<Operations<D>>> {
        let operations = self.0.load(Ordering::Acquire);
        if operations.is_null() {
            return None;
        }
        // SAFETY: By the type's invariants it is the content of a live `Arc`.
        Some(unsafe { ArcBorrow::from_raw(operations) }.into())
    }
}

/// # Safety
///
/// `dev` must be a live device; called from a callback of the core.
pub(super) unsafe fn with_device<D: Driver, R>(
    dev: *mut bindings::device,
    f: impl FnOnce(&D, &Device, &D::Device) -> R,
) -> Option<R> {
    // SAFETY: By this function's contract; private data that is not null was set by `probe`.
    unsafe {
        let driver = D::context().driver()?;
        let raw = bindings::vtd_helper_dev_iommu_priv_get(dev);
        if raw.is_null() {
            return None;
        }
        let data: ArcBorrow<'_, D::Device> = <Arc<D::Device> as ForeignOwnable>::borrow(raw.cast());
        Some(f(driver, Device::from_raw(dev), &data))
    }
}

/// # Safety
///
/// The domains must be live domains of `D` (`old` may be null), `dev` a live device; called from a
/// callback of the core, which holds the mutex of the device's group.
pub(super) unsafe fn attach<D: Driver>(
    dev: *mut bindings::device,
    old: *mut bindings::iommu_domain,
    new: *mut bindings::iommu_domain,
    f: impl FnOnce(&Device, &D::Device, &Change) -> Result,
) -> i32 {
    // What the driver decides here by what it knows of the group must not change meanwhile.
    if cfg!(CONFIG_LOCKDEP) {
        // SAFETY: `dev` is live and in a group, or its attach would not be asked for.
        unsafe { bindings::vtd_helper_group_mutex_assert(dev) }
    }
    // SAFETY: By this function's contract.
    let done = unsafe {
        Change::new(old, new)
            .and_then(|change| with_device::<D, _>(dev, |_, dev, data| f(dev, data, &change)))
    };
    match done {
        Some(Ok(())) => 0,
        Some(Err(e)) => e.to_errno(),
        None => ENODEV.to_errno(),
    }
}
