// SPDX-License-Identifier: GPL-2.0

//! A device under a parent domain.

use super::parent::MsiParent;
use super::remapping::InterruptRemapping;
use crate::bindings;
use crate::pci::PciDevice;
use kernel::prelude::*;
use kernel::sync::Arc;

/// Puts `device`, which was added just now, under the vector domain if its bus put it under a parent
/// domain. That one may be of another remapping table than the device's, and it is removed without
/// regard to a device for which no [`RemappedDevice`] lives.
///
/// # Context
///
/// As for [`RemappedDevice::new`].
pub fn leave_inherited_domain(device: &PciDevice) {
    // SAFETY: A valid device.
    unsafe { bindings::vtd_helper_leave_inherited_domain(device.as_raw()) }
}

/// A device under a parent domain: its interrupts are allocated there. Dropping this puts it under
/// the vector domain again.
///
/// # Invariants
///
/// The MSI domain of `device` is that of `parent`.
pub struct RemappedDevice<R: InterruptRemapping> {
    device: PciDevice,
    parent: Arc<MsiParent<R>>,
}

impl<R: InterruptRemapping> RemappedDevice<R> {
    /// Puts `device` under `parent`.
    ///
    /// # Errors
    ///
    /// [`EBUSY`]: the device has interrupts already. [`ENODEV`]: it is under another domain than
    /// that of vectors, such as one of a volume management device.
    ///
    /// # Context
    ///
    /// No driver may be bound to the device or being bound.
    pub fn new(parent: Arc<MsiParent<R>>, device: PciDevice) -> Result<Self> {
        // SAFETY: A valid device. The domain lives as long as it is that of the device.
        kernel::error::to_result(unsafe {
            bindings::vtd_helper_enter_msi_domain(device.as_raw(), parent.domain)
        })?;
        // INVARIANT: Changed just now.
        Ok(RemappedDevice { device, parent })
    }

    /// Returns whether the device has interrupts, or could have some because a driver prepared for
    /// it.
    pub fn has_interrupts(&self) -> bool {
        // SAFETY: A valid device.
        unsafe { bindings::vtd_helper_has_msi_data(self.device.as_device().as_raw()) }
    }
}

impl<R: InterruptRemapping> Drop for RemappedDevice<R> {
    /// A device that still has interrupts stays where it is. The domain is never removed then, and
    /// neither is the module, whose functions the kernel calls for these interrupts.
    ///
    /// # Context
    ///
    /// As for [`Self::new`].
    fn drop(&mut self) {
        // SAFETY: A valid device.
        let failed = unsafe {
            bindings::vtd_helper_leave_msi_domain(self.device.as_raw(), self.parent.domain)
        };
        if failed != 0 {
            core::mem::forget(self.parent.clone());
            // SAFETY: Called from a function of this module, which is therefore loaded.
            unsafe { bindings::vtd_helper_keep_loaded() };
        }
    }
}
