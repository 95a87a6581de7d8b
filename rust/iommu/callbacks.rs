// SPDX-License-Identifier: GPL-2.0

//! Finds the driver and its data for a device, in a callback of the core.
//!
//! A probed device holds its driver and its unit ([`DeviceData`]), so a callback for a device finds
//! both, whether or not units are still registered.

use super::attach_args::AttachArgs;
use super::traits::Driver;
use super::unit::Unit;
use crate::bindings;
use crate::device::Device;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::types::ForeignOwnable;

/// The private data of a probed device (`dev_iommu_priv_get()`).
pub(super) struct DeviceData<D: Driver> {
    pub(super) driver: Arc<D>,
    pub(super) data: Arc<D::Device>,
    /// The core follows a pointer to it until the device is released.
    pub(super) _unit: Arc<Unit<D::UnitData>>,
}

impl<D: Driver> DeviceData<D> {
    /// Makes `this` the private data of `dev`.
    ///
    /// # Safety
    ///
    /// `dev` must be a live device that is not probed yet; the core's probe lock is held.
    pub(super) unsafe fn attach_to(this: KBox<Self>, dev: *mut bindings::device) {
        // SAFETY: By this function's contract; `dev->iommu` exists while a device is probed.
        unsafe { bindings::dev_iommu_priv_set(dev, this.into_foreign().cast()) }
    }

    /// Takes the private data of `dev`; [`None`] if its probe did not get that far.
    ///
    /// # Safety
    ///
    /// `dev` must be a live device that the core is releasing, or whose probe it undoes.
    pub(super) unsafe fn take_from(dev: *mut bindings::device) -> Option<KBox<Self>> {
        // SAFETY: By this function's contract. Data that is not null was set by `attach_to`, and
        // the core releases a probed device exactly once. The pointer is not cleared: only a probe
        // may set it, and the core next frees the structure that contains it.
        unsafe {
            let raw = bindings::vtd_helper_dev_iommu_priv_get(dev);
            (!raw.is_null()).then(|| <KBox<Self> as ForeignOwnable>::from_foreign(raw.cast()))
        }
    }
}

/// Calls `f` for a probed device; returns [`None`] if the device is not probed.
///
/// # Safety
///
/// `dev` must be a live device; called from a callback of the core for that device, during which
/// it is not released.
pub(super) unsafe fn with_device<D: Driver, R>(
    dev: *mut bindings::device,
    f: impl FnOnce(&D, &Device, &D::Device) -> R,
) -> Option<R> {
    // SAFETY: By this function's contract; private data that is not null was set by `probe`.
    unsafe {
        let raw = bindings::vtd_helper_dev_iommu_priv_get(dev);
        if raw.is_null() {
            return None;
        }
        let probed = <KBox<DeviceData<D>> as ForeignOwnable>::borrow(raw.cast());
        Some(f(&probed.driver, Device::from_raw(dev), &probed.data))
    }
}

/// Calls `f` for an attach, and returns the return value of `iommu_domain_ops::attach_dev`.
///
/// # Safety
///
/// The domains must be live domains of `D` (`old` may be null), `dev` a live device; called from a
/// callback of the core, which holds the mutex of the device's group.
pub(super) unsafe fn attach<D: Driver>(
    dev: *mut bindings::device,
    old: *mut bindings::iommu_domain,
    new: *mut bindings::iommu_domain,
    f: impl FnOnce(&D, &Device, &D::Device, &AttachArgs) -> Result,
) -> i32 {
    // The driver decides by the state of the group, which must not change concurrently.
    if cfg!(CONFIG_LOCKDEP) {
        // SAFETY: `dev` is live and in a group, because it is being attached.
        unsafe { bindings::vtd_helper_group_mutex_assert(dev) }
    }
    // SAFETY: By this function's contract.
    let done = unsafe {
        AttachArgs::new(old, new).and_then(|args| {
            with_device::<D, _>(dev, |driver, dev, data| f(driver, dev, data, &args))
        })
    };
    match done {
        Some(Ok(())) => 0,
        Some(Err(e)) => e.to_errno(),
        None => ENODEV.to_errno(),
    }
}
