// SPDX-License-Identifier: GPL-2.0

//! Hot-plug (hotplug): prepares a device before its group is formed and before a driver is bound to
//! it, and removes it from the driver's lists after it was removed.

use crate::device::PciPath;
use crate::machine::Machine;
use kernel::prelude::*;
use kernel_ext::pci::PciDevice;
use kernel_ext::{log_dev_warn, notifier};

impl notifier::BusNotifier for Machine {
    fn device_added(&self, device: &PciDevice) {
        if !self.is_unloading() && self.enable_access_control(device).is_err() {
            log_dev_warn!(
                device.as_device(),
                "{}: no memory to monitor its access control: its group may become larger",
                device.as_device()
            );
        }
        if !self.is_unloading() && self.list_if_left_out(device).is_err() {
            self.untranslated.left_out.set_incomplete();
        }
    }

    fn before_bind(&self, _device: &PciDevice) {
        drop(self.gate.lock());
        if !self.is_unloading() {
            self.access_control.hold();
        }
    }

    fn device_removed(&self, device: &PciDevice) {
        self.untranslated.adopted.remove(device);
        self.untranslated.left_out.remove(device);
        self.access_control.remove(device);
    }
}

impl Machine {
    /// Turns on access control services (ACS) of `device` if it is behind a unit. Called before its
    /// group is formed.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    ///
    /// # Context
    ///
    /// Process context.
    pub(super) fn enable_access_control(&self, device: &PciDevice) -> Result {
        if device.acs_control().is_none() {
            return Ok(());
        }
        match self.unit_of(&PciPath::of(device)?) {
            Ok(_) => self.access_control.enable(device),
            Err(ENODEV) => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Lists `device` if its unit is left out, so that no unit translates its DMA.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    ///
    /// # Context
    ///
    /// Process context.
    pub(super) fn list_if_left_out(&self, device: &PciDevice) -> Result {
        if !self.chipset.leaves_something_out() {
            return Ok(());
        }
        match PciPath::of(device) {
            Ok(path) if self.chipset.leaves_out(&self.dmar(), &path) => {
                self.untranslated.left_out.add(device.clone());
                Ok(())
            }
            Ok(_) | Err(ENODEV) => Ok(()),
            Err(e) => Err(e),
        }
    }
}
