// SPDX-License-Identifier: GPL-2.0

//! Devices that stay enabled without a driver.

use super::PciDevice;
use crate::bindings;
use core::mem::ManuallyDrop;
use core::ptr;
use kernel::prelude::*;

/// A device that stays enabled for as long as this lives.
///
/// # Invariants
///
/// This value owns one count of the device's `enable_cnt`.
pub struct KeptEnabled(PciDevice);

impl KeptEnabled {
    /// Leaves the device enabled for good.
    pub fn leave_enabled(self) {
        let this = ManuallyDrop::new(self);
        // SAFETY: Read once, from a value that is not dropped.
        drop(unsafe { ptr::read(&this.0) });
    }
}

impl Drop for KeptEnabled {
    fn drop(&mut self) {
        // SAFETY: Valid device, with a count of ours by the type's invariants.
        unsafe { bindings::pci_disable_device(self.0.ptr.as_ptr()) }
    }
}

impl PciDevice {
    /// Keeps the device enabled, and a bus master if it is one, whatever its driver does when it is
    /// unbound.
    ///
    /// # Errors
    ///
    /// Those of `pci_enable_device()`, which does not change a device that is already enabled.
    ///
    /// # Context
    ///
    /// Process context.
    pub fn keep_enabled(&self) -> Result<KeptEnabled> {
        // SAFETY: Valid device.
        kernel::error::to_result(unsafe { bindings::pci_enable_device(self.ptr.as_ptr()) })?;
        // INVARIANT: Counted just now.
        Ok(KeptEnabled(self.clone()))
    }
}
