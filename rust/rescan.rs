// SPDX-License-Identifier: GPL-2.0

//! The PCI core's lock of its tree of devices.
//!
//! C header: `include/linux/pci.h` (`pci_lock_rescan_remove()`).

use crate::bindings;
use kernel::types::NotThreadSafe;

/// `pci_rescan_remove_lock`, which code that adds or removes PCI devices holds. This is the PCI
/// core's rule, which `pci_stop_and_remove_bus_device()` asserts; hot-plug, `remove` and `rescan`
/// in sysfs, and `sriov_numvfs` follow it.
///
/// A driver that adds or removes devices in its own probe or remove function does not follow it:
/// virtual functions, when the driver of their physical function is unbound, and the devices behind
/// a volume management device. Nothing here relies on the lock for the lifetime of an object.
///
/// `remove` takes a device's lock after this one, and `sriov_numvfs` takes it before. So a holder
/// of this lock must only try to take a device's lock.
pub struct RescanLock;

impl RescanLock {
    /// Takes the lock.
    ///
    /// # Context
    ///
    /// Process context; sleeps. A thread that binds a driver with this lock held may wait in
    /// [`before_bind`](crate::notifier::BusNotifier::before_bind) for other locks, so take this
    /// lock before any other.
    pub fn lock() -> RescanGuard {
        // SAFETY: Has no preconditions; a thread that holds the lock already waits for ever, as
        // with any mutex.
        unsafe { bindings::pci_lock_rescan_remove() };
        // INVARIANT: Just taken.
        RescanGuard(NotThreadSafe)
    }
}

/// The lock, held until this is dropped, by the thread that took it.
///
/// # Invariants
///
/// `pci_rescan_remove_lock` is held by this thread for this.
#[must_use = "the lock is released when the guard is dropped"]
pub struct RescanGuard(NotThreadSafe);

impl Drop for RescanGuard {
    fn drop(&mut self) {
        // SAFETY: Held by the type's invariants.
        unsafe { bindings::pci_unlock_rescan_remove() }
    }
}
