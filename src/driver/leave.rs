// SPDX-License-Identifier: GPL-2.0

//! Leaving: on request, when the module goes, and when the machine does.

use super::Vtd;
use crate::device::Use;
use core::sync::atomic::Ordering;
use kernel::prelude::*;
use kernel_ext::pci::PciDevice;
use kernel_ext::{log_err, log_info, log_warn, notifier, syscore};

impl Vtd {
    /// Gives all devices back, on the user's request. [`EBUSY`] while one is in use, with the list
    /// in the log. Afterwards the module can be removed.
    pub(crate) fn detach(&self) -> Result {
        // Whoever binds a driver from here on waits, and then finds no unit.
        let closed = self.gate.lock();
        if self.loading.load(Ordering::Acquire) {
            log_err!("not detached: vtd is being loaded");
            return Err(EBUSY);
        }
        let mut users = 0;
        self.for_each_device(|info| {
            let driver = info.pci.as_device().driver();
            let is = info.state.lock().is;
            match driver {
                Some(driver) if !(driver.manages_dma && info.pci.is_bridge()) => {
                    users += 1;
                    log_err!("{info} is in use by driver {} ({is})", driver.name);
                }
                None if is == Use::Unmanaged => {
                    users += 1;
                    log_err!("{info} is in use by a user's domain");
                }
                _ => {}
            }
        });
        if users > 0 {
            log_err!("not detached: {users} device(s) are in use. Unbind them first");
            return Err(EBUSY);
        }
        self.give_back();
        drop(closed);
        log_info!("detached: no device is behind a unit any more; rmmod vtd unloads the driver");
        Ok(())
    }

    /// Takes the units from the core, then stops them. Nothing if that has been done.
    pub(crate) fn leave(&self) {
        let _closed = self.gate.lock();
        self.give_back();
    }

    /// As [`Self::leave`], with the gate closed.
    pub(super) fn give_back(&self) {
        self.leaving.store(true, Ordering::Release);
        for served in self.units() {
            served.core.unregister();
        }
        for served in self.units() {
            if !served.unit.stop() {
                core::mem::forget(served.unit.clone());
            }
        }
        self.ownership.adopted.forget_all();
        self.access_control.restore();
    }
}

impl notifier::DriverGate for Vtd {
    fn found(&self, device: &PciDevice) {
        if !self.is_leaving() && self.enable_access_control(device).is_err() {
            log_warn!(
                "{}: no memory to look after its access control: its group may be larger",
                device.as_device()
            );
        }
    }

    fn before_bind(&self, _device: &PciDevice) {
        drop(self.gate.lock());
        if !self.is_leaving() {
            self.access_control.hold();
        }
    }

    fn removed(&self, device: &PciDevice) {
        self.ownership.adopted.remove(device);
        self.access_control.forget(device);
    }
}

impl syscore::Callbacks for Vtd {
    /// All devices are shut down. The next kernel must find the units as firmware left them.
    fn shutdown(&self) {
        for served in self.units() {
            served.unit.stop();
        }
    }

    fn suspend(&self) -> Result {
        for served in self.units() {
            served.save();
        }
        Ok(())
    }

    fn resume(&self) {
        for served in self.units() {
            served.restore();
        }
    }
}
