// SPDX-License-Identifier: GPL-2.0

//! Leaving: on request, when the module goes, and when the machine does.

use crate::device::{AttachedTo, DeviceInfo};
use crate::machine::Machine;
use crate::unit::Unit;
use core::sync::atomic::Ordering;
use kernel::prelude::*;
use kernel::sync::lock::{mutex::MutexBackend, Guard};
use kernel::sync::Arc;
use kernel_ext::pci::RescanLock;
use kernel_ext::sysfs::Attribute;
use kernel_ext::{log_err, log_info, syscore};
use vtd_core::protected_memory::LifecycleEvent;

/// `/sys/kernel/vtd/detach`.
pub(super) const DETACH: Attribute<Machine> = Attribute {
    name: c"detach",
    mode: 0o200,
    show: |_, _| Ok(()),
    store: Some(|machine, text| match text {
        "1" => machine.detach(),
        _ => Err(EINVAL),
    }),
};

impl Machine {
    /// Whether the units are being given back.
    pub(super) fn is_unloading(&self) -> bool {
        self.unloading.load(Ordering::Acquire)
    }

    /// Gives all devices back, on the user's request. [`EBUSY`] while one is in use, with the list
    /// in the log. Afterwards the module can be removed.
    fn detach(&self) -> Result {
        // A device that is just added or removed would escape the core's walk over the bus.
        let _hot_plug = RescanLock::lock();
        // Whoever binds a driver from here on waits, and then finds no unit.
        let gate = self.gate.lock();
        if self.loading.load(Ordering::Acquire) {
            log_err!("not detached: vtd is being loaded");
            return Err(EBUSY);
        }
        if let Some(served) = self.units().find(|served| served.unit.keeps_translation()) {
            log_err!(
                "not detached: translation of {} cannot be turned off while the devices behind it \
                 do DMA, and they always do. Reboot, and do not load vtd",
                &*served.unit
            );
            return Err(EBUSY);
        }
        let mut devices = KVec::new();
        // A copy: the core takes the list's lock with a group's mutex held, which is asked for below.
        for info in self.devices.lock().iter() {
            devices.push(info.clone(), GFP_KERNEL)?;
        }
        // The core counts a driver among a group's owners before it tells the gate, and must not
        // lose a group that has one: who is just being bound is asked by the device's own lock.
        let mut locked = KVec::with_capacity(devices.len(), GFP_KERNEL)?;
        for info in devices.iter() {
            let lock = info.pci.as_device().try_lock().ok_or_else(|| {
                let device = info.pci.as_device();
                log_err!(
                    "not detached: a driver is being bound to {device} or unbound from it. Try \
                     again"
                );
                EBUSY
            })?;
            locked.push(lock, GFP_KERNEL)?;
        }
        let users = devices.iter().filter(|info| is_in_use(info)).count();
        if users > 0 {
            log_err!("not detached: {users} device(s) are in use. Unbind them first");
            return Err(EBUSY);
        }
        let all_returned = self.return_units(&gate);
        drop(locked);
        drop(gate);
        if !all_returned {
            log_err!("not fully detached: try again once these devices have been added or removed");
            return Err(EBUSY);
        }
        log_info!("detached: vtd translates for no device any more; rmmod vtd unloads the driver");
        Ok(())
    }

    /// Takes the units from the core, then stops them. Nothing if that has been done.
    pub(super) fn unload(&self) {
        let _hot_plug = RescanLock::lock();
        let gate = self.gate.lock();
        self.return_units(&gate);
    }

    /// As [`Self::unload`], with hot-plug excluded and the gate closed. Whether all devices were
    /// given back: a unit that still has one goes on translating, because its driver may have been
    /// given addresses that mean nothing without the unit. Then the log says which.
    pub(super) fn return_units(&self, _gate: &Guard<'_, (), MutexBackend>) -> bool {
        self.unloading.store(true, Ordering::Release);
        for served in self.units() {
            served.iommu_device.unregister();
        }
        let mut all_returned = true;
        for served in self.units() {
            if self.has_devices(&served.unit) {
                self.explain_still_translating(&served.unit);
                all_returned = false;
            } else if !served.unit.disable(LifecycleEvent::Unload) {
                core::mem::forget(served.unit.clone());
            }
        }
        if all_returned {
            self.untranslated.adopted.clear();
            self.untranslated.left_out.clear();
            self.access_control.restore();
        }
        all_returned
    }

    /// Names the devices that keep `unit` translating although it is not registered any more.
    fn explain_still_translating(&self, unit: &Arc<Unit>) {
        self.for_each_device(|info| {
            if Arc::ptr_eq(&info.unit, unit) {
                log_err!(
                    "{unit}: translation stays on: {info} is being added or removed and is still \
                     attached",
                    unit = **unit
                );
            }
        });
    }
}

/// Whether someone needs the unit's service for a device; the log says who. May sleep.
fn is_in_use(info: &DeviceInfo) -> bool {
    let device = info.pci.as_device();
    let attached_to = info.state.lock().attached_to;
    match device.driver() {
        Some(driver) if driver.driver_managed_dma && info.pci.is_bridge() => false,
        Some(driver) => {
            log_err!("{info} is in use by driver {} ({attached_to})", driver.name);
            true
        }
        None if attached_to == AttachedTo::Unmanaged => {
            log_err!("{info} is in use by a user's domain");
            true
        }
        // The core must not lose a group that has an owner.
        None if attached_to == AttachedTo::Blocked && info.group_is_owned() => {
            log_err!(
                "{info} is in use: its group is claimed by a user or a module, and is blocked"
            );
            true
        }
        None => false,
    }
}

impl syscore::SyscoreOps for Machine {
    /// All devices are shut down. The next kernel must find all of its memory within reach.
    fn shutdown(&self) {
        for served in self.units() {
            served.unit.shut_down();
        }
    }

    fn suspend(&self) -> Result {
        for served in self.units() {
            served.suspend();
        }
        Ok(())
    }

    fn resume(&self) {
        for (served, step) in self.bring_up() {
            served.resume_step(step);
        }
        for served in self.units() {
            served.resume();
        }
    }
}
