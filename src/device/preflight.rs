// SPDX-License-Identifier: GPL-2.0

//! Before anything is touched: which devices already have drivers, and what becomes of them.

use super::chipset::Chipset;
use super::topology::PciPath;
use kernel::prelude::*;
use kernel_ext::pci::{KeptEnabled, PciDevice};
use kernel_ext::{log_err, log_info, log_warn};
use vtd_core::dmar::Dmar;

/// What the user chose for devices whose drivers are bound when the driver is loaded. Ports are
/// not meant: their drivers are always bound, and are always released and attached again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum BoundPolicy {
    /// Do not load.
    Refuse,
    /// Let them stay in pass-through, until they are removed and found anew.
    Adopt,
    /// Release their drivers, and attach them again behind the unit.
    Rebind,
}

impl BoundPolicy {
    /// The policy that a module parameter names; [`EINVAL`], with a sentence, if it names none.
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

/// The devices behind units that have drivers.
pub(crate) struct BoundDevices {
    /// Those whose drivers are to be released.
    to_release: KVec<PciDevice>,
    /// Those which are to run on.
    pub(crate) to_adopt: KVec<PciDevice>,
}

impl BoundDevices {
    /// Looks at every device behind a unit. With [`BoundPolicy::Refuse`] [`EBUSY`] if one other than a
    /// port has a driver: its DMA would go on with addresses that mean nothing any more. Changes
    /// nothing.
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
                    log_info!(
                        "{}: driver {} is unbound and bound again",
                        device.as_device(),
                        driver.name
                    );
                    found.to_release.push(device, GFP_KERNEL)?;
                }
                BoundPolicy::Adopt => found.to_adopt.push(device, GFP_KERNEL)?,
                BoundPolicy::Refuse => {
                    conflicts += 1;
                    log_err!(
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

    /// Releases drivers, so that the core meets no bound device when it probes. They come back
    /// when the result is dropped.
    ///
    /// A port's driver disables the port when it goes, which would keep the devices below it, those
    /// that run on among them, from memory and from raising interrupts; a switch's upstream port
    /// would stay so. A count of our own prevents that. [`ENOMEM`], or the PCI core's error for a
    /// port that cannot be enabled.
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
            // There is room: all were counted.
            let _ = released.devices.push_within_capacity((device, enabled));
        }
        Ok(released)
    }
}

fn explain_not_kept_enabled(port: &PciDevice, error: Error) {
    log_err!(
        "not loaded: {} cannot be kept enabled while its driver is unbound (error {})",
        port.as_device(),
        error.to_errno()
    )
}

/// Devices without their drivers, for the time of a registration.
pub(crate) struct ReleasedDevices {
    /// Ports with what keeps them enabled.
    devices: KVec<(PciDevice, Option<KeptEnabled>)>,
    /// Physical functions, and how many virtual ones each had: its driver takes them with it.
    functions: KVec<(PciDevice, u32)>,
}

impl Drop for ReleasedDevices {
    fn drop(&mut self) {
        for (device, enabled) in core::mem::take(&mut self.devices) {
            // What is behind a volume management device was found again under its driver.
            if device.is_removed() || device.attach_driver() {
                continue;
            }
            let lost = if enabled.is_some() {
                "hot-plug and error reporting of this port are off; it still forwards"
            } else {
                "the device is unbound"
            };
            log_warn!(
                "{}: could not re-attach its driver: {lost}",
                device.as_device()
            );
            // Without a driver nobody else counts for what is below.
            if let Some(enabled) = enabled {
                enabled.leave_enabled();
            }
        }
        for (physical, count) in self.functions.iter() {
            let device = physical.as_device();
            if physical.virtual_functions() < *count {
                log_warn!(
                    "{device}: its {count} virtual function(s) were removed with its driver. To \
                     create them again: echo {count} > /sys/bus/pci/devices/{device}/sriov_numvfs"
                );
            }
        }
    }
}
