// SPDX-License-Identifier: GPL-2.0

//! Unload: on request (`detach`), at module removal, and at shutdown; also suspend and resume.

use crate::device::preflight::{BoundDevices, ReleasedDevices};
use crate::device::{AttachedTo, DeviceInfo};
use crate::machine::{Machine, ServedUnit};
use crate::unit::Unit;
use core::sync::atomic::Ordering;
use kernel::prelude::*;
use kernel::sync::lock::{mutex::MutexBackend, Guard};
use kernel::sync::Arc;
use kernel_ext::device::DeviceGuard;
use kernel_ext::pci::RescanLock;
use kernel_ext::sysfs::Attribute;
use kernel_ext::{log_dev_err, log_err, log_info, syscore};
use vtd_core::protected_memory::LifecycleEvent;

/// The file `/sys/kernel/vtd/detach`.
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
    /// Returns whether the units are being unregistered and stopped, or have been.
    pub(super) fn is_unloading(&self) -> bool {
        self.unloading.load(Ordering::Acquire)
    }

    /// Releases all devices and stops the units, on the user's request. Afterwards the module can
    /// be removed.
    ///
    /// # Errors
    ///
    /// [`EBUSY`] if a device is in use, if a unit must keep translating, or while the driver is
    /// being loaded. The log has the details.
    fn detach(&self) -> Result {
        // Attached again when this function has returned, after the locks were released.
        let _ports = self.release_ports()?;
        // No device may be added or removed now: the core's walk over the bus would miss it.
        let _hot_plug = RescanLock::lock();
        // From here on, a thread that binds a driver waits, and then finds no unit.
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
        // A copy of the list: callbacks of the core take its lock with a group's mutex held, and
        // the checks below take that mutex.
        for info in self.devices.lock().iter() {
            devices.push(info.clone(), GFP_KERNEL)?;
        }
        let locked = lock_devices(&devices)?;
        let in_use = |info: &&Arc<DeviceInfo>| is_in_use(info) || self.has_interrupts(info);
        let users = devices.iter().filter(in_use).count();
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

    /// Returns whether a device that may keep its driver has remapped interrupts: a port that was
    /// bound since [`Self::release_ports`] looked, or not released then. The log has it.
    fn has_interrupts(&self, info: &DeviceInfo) -> bool {
        let of_unit = |served: &&ServedUnit| Arc::ptr_eq(&served.unit, &info.unit);
        let has = self
            .units()
            .find(of_unit)
            .is_some_and(|served| served.interrupts.has_interrupts(&info.pci));
        if has {
            log_dev_err!(
                info.pci.as_device(),
                "{info} has remapped interrupts: a driver was bound during the detach. Try again"
            );
        }
        has
    }

    /// Releases the drivers of ports, if their interrupts are remapped: a driver that is attached
    /// again allocates interrupts that are not. Does nothing while another device has a driver, as
    /// a detach is then refused.
    ///
    /// # Errors
    ///
    /// Those of [`BoundDevices::release`].
    fn release_ports(&self) -> Result<Option<ReleasedDevices>> {
        let remaps = self.units().any(|served| served.unit.remaps_interrupts());
        if !remaps || self.loading.load(Ordering::Acquire) || self.keeps_translation() {
            return Ok(None);
        }
        let mut devices = KVec::new();
        for info in self.devices.lock().iter() {
            devices.push(info.pci.clone(), GFP_KERNEL)?;
        }
        // Without the rescan lock, see `Running::start`.
        let ports = BoundDevices::ports_only(devices.into_iter())?;
        Ok(Some(ports.release()?))
    }

    /// Returns whether a unit must keep translating.
    fn keeps_translation(&self) -> bool {
        self.units().any(|served| served.unit.keeps_translation())
    }

    /// Unregisters the units from the core, then stops them. Does nothing if this has been done.
    pub(super) fn unload(&self) {
        let _hot_plug = RescanLock::lock();
        let gate = self.gate.lock();
        self.return_units(&gate);
    }

    /// Does what [`Self::unload`] does, with the rescan lock and the gate held. Returns whether all
    /// devices were released. A unit that still has a device continues to translate, because the
    /// device's driver may hold DMA addresses that are valid only with the unit; the log names the
    /// device.
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

    /// Logs the devices that keep `unit` translating although it is not registered any more.
    fn explain_still_translating(&self, unit: &Arc<Unit>) {
        self.for_each_device(|info| {
            if Arc::ptr_eq(&info.unit, unit) {
                log_dev_err!(
                    info.pci.as_device(),
                    "{unit}: translation stays on: {info} is being added or removed and is still \
                     attached",
                    unit = **unit
                );
            }
        });
    }
}

/// Locks all `devices`, so that no driver is bound or unbound.
///
/// When a driver is bound, the core counts it as an owner of the group before the notifier waits at
/// the gate, and a group with an owner must not be released.
///
/// # Errors
///
/// [`EBUSY`]: a driver is just being bound or unbound. The log has the device. [`ENOMEM`] if an
/// allocation fails.
fn lock_devices(devices: &[Arc<DeviceInfo>]) -> Result<KVec<DeviceGuard<'_>>> {
    let mut locked = KVec::with_capacity(devices.len(), GFP_KERNEL)?;
    for info in devices {
        let device = info.pci.as_device();
        let lock = device.try_lock().ok_or_else(|| {
            log_dev_err!(
                device,
                "not detached: a driver is being bound to {device} or unbound from it. Try again"
            );
            EBUSY
        })?;
        locked.push(lock, GFP_KERNEL)?;
    }
    Ok(locked)
}

/// Returns whether a driver, a user or a module uses a device; the log says which.
///
/// # Context
///
/// May sleep.
fn is_in_use(info: &DeviceInfo) -> bool {
    let device = info.pci.as_device();
    let attached_to = info.state.lock().attached_to;
    match device.driver() {
        Some(driver) if driver.driver_managed_dma && info.pci.is_bridge() => false,
        Some(driver) => {
            log_dev_err!(
                device,
                "{info} is in use by driver {} ({attached_to})",
                driver.name
            );
            true
        }
        None if attached_to == AttachedTo::Unmanaged => {
            log_dev_err!(device, "{info} is in use by a user's domain");
            true
        }
        // A group that has an owner must not be released.
        None if attached_to == AttachedTo::Blocked && info.group_is_owned() => {
            log_dev_err!(
                device,
                "{info} is in use: its group is claimed by a user or a module, and is blocked"
            );
            true
        }
        None => false,
    }
}

impl syscore::SyscoreOps for Machine {
    /// Stops the units after all devices were shut down. The next kernel's devices must be able to
    /// reach all of its memory.
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
