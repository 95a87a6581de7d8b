// SPDX-License-Identifier: GPL-2.0

//! Preflight: finds the devices that already have drivers and decides what to do with them, before
//! anything is changed.

use super::chipset::Chipset;
use super::topology::PciPath;
use kernel::prelude::*;
use kernel_ext::pci::{KeptEnabled, PciDevice};
use kernel_ext::{log_dev_err, log_dev_info, log_dev_warn, log_err};
use vtd_core::dmar::Dmar;

/// What the user chose for devices whose drivers are bound when vtd is loaded. Ports are excepted:
/// their drivers are always bound, and are always released and attached again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum BoundPolicy {
    /// Do not load.
    Refuse,
    /// Leave them in pass-through until they are removed and found again.
    Adopt,
    /// Release their drivers, and attach them again behind the unit.
    Rebind,
}

impl BoundPolicy {
    /// Returns the policy that the module parameter `bound` names.
    ///
    /// # Errors
    ///
    /// [`EINVAL`]: it names none. The log says so.
    pub(crate) fn from_parameter(value: i32) -> Result<Self> {
        match value {
            0 => Ok(BoundPolicy::Refuse),
            1 => Ok(BoundPolicy::Adopt),
            2 => Ok(BoundPolicy::Rebind),
            _ => {
                log_err!(
                    "not loaded: bound={value} is not valid: give 0 (refuse), 1 (adopt) or 2 \
                     (rebind)"
                );
                Err(EINVAL)
            }
        }
    }
}

/// The devices that are behind units and have drivers.
pub(crate) struct BoundDevices {
    /// The devices whose drivers are to be unbound.
    to_release: KVec<PciDevice>,
    /// The devices that are to be left in pass-through.
    pub(crate) to_adopt: KVec<PciDevice>,
}

impl BoundDevices {
    /// Finds every device behind a unit that has a driver. Changes nothing.
    ///
    /// # Errors
    ///
    /// [`EBUSY`]: with [`BoundPolicy::Refuse`], a device other than a port has a driver. Its DMA
    /// would continue with addresses that mean nothing any more. [`ENOMEM`] if an allocation fails.
    pub(crate) fn find(dmar: &Dmar<'_>, chipset: &Chipset, policy: BoundPolicy) -> Result<Self> {
        let mut found = BoundDevices {
            to_release: KVec::new(),
            to_adopt: KVec::new(),
        };
        let mut conflicts = 0;
        for device in PciDevice::all() {
            let Some(driver) = device.as_device().driver() else {
                continue;
            };
            let path = match PciPath::of(&device) {
                Ok(path) => path,
                Err(ENODEV) => continue,
                Err(e) => return Err(e),
            };
            if chipset.unit_for(dmar, &path).is_none() {
                continue;
            }
            let is_port = driver.driver_managed_dma && device.is_bridge();
            match policy {
                _ if is_port => found.to_release.push(device, GFP_KERNEL)?,
                BoundPolicy::Rebind => {
                    log_dev_info!(
                        device.as_device(),
                        "{}: driver {} is unbound and bound again",
                        device.as_device(),
                        driver.name
                    );
                    found.to_release.push(device, GFP_KERNEL)?;
                }
                BoundPolicy::Adopt => found.to_adopt.push(device, GFP_KERNEL)?,
                BoundPolicy::Refuse => {
                    conflicts += 1;
                    log_dev_err!(
                        device.as_device(),
                        "{} is in use by driver {}: its DMA would break",
                        device.as_device(),
                        driver.name
                    );
                }
            }
        }
        if conflicts > 0 {
            log_err!(
                "not loaded: {conflicts} device(s) behind remapping units have drivers. Load vtd \
                 before them (from the initramfs), unbind them first, or choose bound=1 (they are \
                 left in pass-through) or bound=2 (they are unbound and bound again)"
            );
            return Err(EBUSY);
        }
        Ok(found)
    }

    /// Finds the ports among `devices` that have drivers; nothing if another device has one.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(crate) fn ports_only(devices: impl Iterator<Item = PciDevice>) -> Result<Self> {
        let mut found = BoundDevices {
            to_release: KVec::new(),
            to_adopt: KVec::new(),
        };
        for device in devices {
            match device.as_device().driver() {
                None => {}
                Some(driver) if driver.driver_managed_dma && device.is_bridge() => {
                    found.to_release.push(device, GFP_KERNEL)?;
                }
                Some(_) => {
                    found.to_release.clear();
                    break;
                }
            }
        }
        Ok(found)
    }

    /// Releases the drivers, so that the core finds no bound device when it probes. Dropping the
    /// result attaches them again.
    ///
    /// When a port's driver is released, it disables the port. The devices below it, including
    /// those left in pass-through, could then no longer reach memory or raise interrupts, and the
    /// upstream port of a switch would stay disabled. An enable count of our own prevents that.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails, or the PCI core's error if a port cannot be enabled.
    pub(crate) fn release(self) -> Result<ReleasedDevices> {
        let mut released = ReleasedDevices {
            devices: KVec::with_capacity(self.to_release.len(), GFP_KERNEL)?,
            functions: KVec::new(),
        };
        for device in self.to_release {
            let enabled = match device.is_bridge() {
                true => Some(
                    device
                        .keep_enabled()
                        .inspect_err(|e| explain_not_kept_enabled(&device, *e))?,
                ),
                false => None,
            };
            let functions = device.virtual_functions();
            if functions > 0 {
                released
                    .functions
                    .push((device.clone(), functions), GFP_KERNEL)?;
            }
            device.release_driver();
            // There is room: capacity for all was allocated.
            let _ = released.devices.push_within_capacity((device, enabled));
        }
        Ok(released)
    }
}

fn explain_not_kept_enabled(port: &PciDevice, error: Error) {
    log_dev_err!(
        port.as_device(),
        "{} cannot be kept enabled while its driver is unbound (error {})",
        port.as_device(),
        error.to_errno()
    )
}

/// Devices whose drivers are released while the units are registered.
pub(crate) struct ReleasedDevices {
    /// The devices, and for each port what keeps it enabled.
    devices: KVec<(PciDevice, Option<KeptEnabled>)>,
    /// Physical functions, and how many virtual functions each had: releasing its driver removes
    /// them.
    functions: KVec<(PciDevice, u32)>,
}

impl Drop for ReleasedDevices {
    fn drop(&mut self) {
        for (device, enabled) in core::mem::take(&mut self.devices) {
            // The devices behind a volume management device (VMD) are removed with its driver, and
            // found again when that driver is re-attached.
            if device.is_removed() || device.attach_driver() {
                continue;
            }
            let lost = if enabled.is_some() {
                "hot-plug and error reporting of this port are off; it still forwards"
            } else {
                "the device is unbound"
            };
            log_dev_warn!(
                device.as_device(),
                "{}: could not re-attach its driver: {lost}",
                device.as_device()
            );
            // Without a driver no other enable count keeps the port on for the devices below it.
            if let Some(enabled) = enabled {
                enabled.leave_enabled();
            }
        }
        for (physical, count) in self.functions.iter() {
            let device = physical.as_device();
            if physical.virtual_functions() < *count {
                log_dev_warn!(
                    device,
                    "{device}: its {count} virtual function(s) were removed with its driver. To \
                     create them again: echo {count} > /sys/bus/pci/devices/{device}/sriov_numvfs"
                );
            }
        }
    }
}
