// SPDX-License-Identifier: GPL-2.0

//! From a callback of the core to the driver and to what it keeps of a device.
//!
//! # Lifetimes
//!
//! The core reads `struct iommu_ops` and the static domains of a driver until it gives up its
//! reference to the module, which is after the last callback for a device. So they are in a static
//! of the module, and not in memory that the driver could free earlier.
//!
//! A probed device holds its driver and its unit ([`DeviceData`]), so a callback for a device needs
//! nothing else, whether or not units are still registered.

use super::change::Change;
use super::operations::Driver;
use super::unit::Unit;
use crate::bindings;
use crate::device::Device;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use kernel::prelude::*;
use kernel::sync::{rcu, Arc, ArcBorrow};
use kernel::types::{ForeignOwnable, Opaque};

/// What of a driver lives as long as its module: the C operations, the identity and the blocked
/// domain, and which driver new devices are offered to.
///
/// # Invariants
///
/// - `driver` is null, or the content of an `Arc` whose owner waits for an RCU grace period between
///   setting null and giving that `Arc` up.
/// - Once `filled` is set, `table` points at the two domains, which point at their operations, and
///   nothing of the three is written by this crate any more.
pub struct Context<D: Driver> {
    driver: AtomicPtr<D>,
    filled: AtomicBool,
    table: Opaque<bindings::iommu_ops>,
    identity: Opaque<bindings::iommu_domain>,
    blocked: Opaque<bindings::iommu_domain>,
}

// SAFETY: The core only reads the table, and locks what it does to the domains; the rest is atomic.
unsafe impl<D: Driver> Sync for Context<D> {}

impl<D: Driver> Context<D> {
    /// Creates a context without a driver, for a static.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Context {
            driver: AtomicPtr::new(ptr::null_mut()),
            filled: AtomicBool::new(false),
            table: Opaque::uninit(),
            identity: Opaque::uninit(),
            blocked: Opaque::uninit(),
        }
    }

    /// Offers new devices to `driver` from now on.
    ///
    /// # Errors
    ///
    /// [`EBUSY`] while they are offered to another one.
    ///
    /// # Safety
    ///
    /// The caller owns the `Arc` until it has called [`Self::withdraw`].
    pub(super) unsafe fn offer_to(
        &'static self,
        driver: &Arc<D>,
        table: bindings::iommu_ops,
        [identity, blocked]: [bindings::iommu_domain; 2],
    ) -> Result {
        let driver = Arc::as_ptr(driver).cast_mut();
        // INVARIANT: Kept alive by this function's contract.
        self.driver
            .compare_exchange(ptr::null_mut(), driver, Ordering::AcqRel, Ordering::Relaxed)
            .map_err(|_| EBUSY)?;
        // Devices of an earlier offer may still use what was filled in then; it is the same.
        if !self.filled.load(Ordering::Acquire) {
            // SAFETY: Not filled, so the core has not seen them; `driver` keeps others out.
            unsafe {
                self.identity.get().write(identity);
                self.blocked.get().write(blocked);
                self.table.get().write(bindings::iommu_ops {
                    identity_domain: self.identity.get(),
                    blocked_domain: self.blocked.get(),
                    ..table
                });
            }
            // INVARIANT: Filled just now.
            self.filled.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Offers no more devices. When this returns, no probe uses the driver without a reference of
    /// its own. May sleep.
    pub(super) fn withdraw(&self) {
        self.driver.store(ptr::null_mut(), Ordering::Release);
        // SAFETY: May be called from any context that can sleep.
        unsafe { bindings::synchronize_rcu() };
    }

    /// Returns the driver that new devices are offered to. Any context.
    pub(super) fn driver(&self) -> Option<Arc<D>> {
        let _grace = rcu::read_lock();
        let driver = self.driver.load(Ordering::Acquire);
        if driver.is_null() {
            return None;
        }
        // SAFETY: By the type's invariants the content of an `Arc` that lives for as long as this
        // read-side section does.
        Some(unsafe { ArcBorrow::from_raw(driver) }.into())
    }

    /// Returns the C operations, once they are filled in.
    pub(super) fn table(&self) -> Option<&bindings::iommu_ops> {
        if !self.filled.load(Ordering::Acquire) {
            return None;
        }
        // SAFETY: Filled in, and constant from then on, by the type's invariants.
        Some(unsafe { &*self.table.get() })
    }
}

/// The private data of a probed device (`dev_iommu_priv_get()`).
pub(super) struct DeviceData<D: Driver> {
    pub(super) driver: Arc<D>,
    pub(super) data: Arc<D::Device>,
    /// The core follows a pointer to it until the device is released.
    pub(super) _unit: Arc<Unit<D, D::UnitData>>,
}

impl<D: Driver> DeviceData<D> {
    /// # Safety
    ///
    /// `dev` must be a live device that is not probed yet; the core's probe lock is held.
    pub(super) unsafe fn attach_to(this: KBox<Self>, dev: *mut bindings::device) {
        // SAFETY: By this function's contract; `dev->iommu` exists while a device is probed.
        unsafe { bindings::dev_iommu_priv_set(dev, this.into_foreign().cast()) }
    }

    /// # Safety
    ///
    /// `dev` must be a live device that the core just releases, or whose probe it undoes.
    pub(super) unsafe fn take_from(dev: *mut bindings::device) -> Option<KBox<Self>> {
        // SAFETY: By this function's contract. Data that is not null was set by `attach_to`, and the
        // core releases once what was probed once. The pointer stays: only a probe may set it, and
        // the core frees where it is next.
        unsafe {
            let raw = bindings::vtd_helper_dev_iommu_priv_get(dev);
            (!raw.is_null()).then(|| <KBox<Self> as ForeignOwnable>::from_foreign(raw.cast()))
        }
    }
}

/// Calls `f` for a probed device; [`None`] for one that is not.
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

/// # Safety
///
/// The domains must be live domains of `D` (`old` may be null), `dev` a live device; called from a
/// callback of the core, which holds the mutex of the device's group.
pub(super) unsafe fn attach<D: Driver>(
    dev: *mut bindings::device,
    old: *mut bindings::iommu_domain,
    new: *mut bindings::iommu_domain,
    f: impl FnOnce(&D, &Device, &D::Device, &Change) -> Result,
) -> i32 {
    // What the driver decides here by what it knows of the group must not change meanwhile.
    if cfg!(CONFIG_LOCKDEP) {
        // SAFETY: `dev` is live and in a group, or its attach would not be asked for.
        unsafe { bindings::vtd_helper_group_mutex_assert(dev) }
    }
    // SAFETY: By this function's contract.
    let done = unsafe {
        Change::new(old, new).and_then(|change| {
            with_device::<D, _>(dev, |driver, dev, data| f(driver, dev, data, &change))
        })
    };
    match done {
        Some(Ok(())) => 0,
        Some(Err(e)) => e.to_errno(),
        None => ENODEV.to_errno(),
    }
}
