// SPDX-License-Identifier: GPL-2.0

//! The static of a module in which the core's callbacks find the driver.
//!
//! # Lifetimes
//!
//! The core reads `struct iommu_ops` and the static domains of a driver until it drops its
//! reference to the module, which is after the last callback for a device. So they are in a static
//! of the module, and not in memory that the driver could free earlier.

use crate::bindings;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use kernel::prelude::*;
use kernel::sync::{rcu, Arc, ArcBorrow};
use kernel::types::Opaque;

/// The parts of a driver that live as long as its module: the C operations, the identity and the
/// blocked domain, and a pointer to the driver that probes new devices.
///
/// # Invariants
///
/// - `driver` is null, or the content of an `Arc` whose owner waits for an RCU grace period after
///   it has set `driver` to null and before it drops that `Arc`.
/// - Once `filled` is set, `table` points at the two domains, which point at their operations, and
///   this crate does not write to the three any more.
pub struct DriverSlot<D: Send + Sync + 'static> {
    driver: AtomicPtr<D>,
    filled: AtomicBool,
    table: Opaque<bindings::iommu_ops>,
    identity: Opaque<bindings::iommu_domain>,
    blocked: Opaque<bindings::iommu_domain>,
}

// SAFETY: The core only reads the table, and locks what it does to the domains; the rest is atomic.
unsafe impl<D: Send + Sync> Sync for DriverSlot<D> {}

impl<D: Send + Sync + 'static> DriverSlot<D> {
    /// Creates a slot without a driver, for a static.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        // INVARIANT: No driver, and not filled.
        DriverSlot {
            driver: AtomicPtr::new(ptr::null_mut()),
            filled: AtomicBool::new(false),
            table: Opaque::uninit(),
            identity: Opaque::uninit(),
            blocked: Opaque::uninit(),
        }
    }

    /// Makes `driver` probe new devices from now on.
    ///
    /// # Errors
    ///
    /// [`EBUSY`] while another driver probes them.
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

    /// Makes the driver probe no new devices any more. When this returns, every probe that still
    /// uses the driver has a reference to it.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(super) fn withdraw(&self) {
        self.driver.store(ptr::null_mut(), Ordering::Release);
        // SAFETY: May be called from any context that can sleep.
        unsafe { bindings::synchronize_rcu() };
    }

    /// Returns the driver that probes new devices.
    ///
    /// # Context
    ///
    /// Any context.
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
    ///
    /// # Context
    ///
    /// Any context.
    pub(super) fn table(&self) -> Option<&bindings::iommu_ops> {
        if !self.filled.load(Ordering::Acquire) {
            return None;
        }
        // SAFETY: Filled in, and constant from then on, by the type's invariants.
        Some(unsafe { &*self.table.get() })
    }
}
