// SPDX-License-Identifier: GPL-2.0

//! Before anything is touched: which devices already have drivers, and what becomes of them.

use super::chipset::Chipset;
use super::topology::Chain;
use kernel::prelude::*;
use kernel_ext::pci::PciDevice;
use kernel_ext::{log_err, log_info, log_warn};
use vtd_core::dmar::Dmar;

/// What the user chose for devices whose drivers are bound when the driver is loaded. Ports are
/// not meant: their drivers are always bound, and are always released and attached again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Do not load.
    Refuse,
    /// Let them run on untranslated, until they are removed and found anew.
    Adopt,
    /// Release their drivers, and attach them again behind the unit.
    Rebind,
}

impl Policy {
    /// The policy that a module parameter names; [`EINVAL`], with a sentence, if it names none.
    pub(crate) fn from_parameter(value: i32) -> Result<Self> {
        match value {
            0 => Ok(Policy::Refuse),
            1 => Ok(Policy::Adopt),
            2 => Ok(Policy::Rebind),
            _ => {
                log_err!(
                    "not loaded: bound={value} is none of 0 (refuse), 1 (adopt) and 2 (rebind)"
                );
                Err(EINVAL)
            }
        }
    }
}

/// The devices behind units that have drivers.
pub(crate) struct Bound {
    /// Those whose drivers are to be released.
    release: KVec<PciDevice>,
    /// Those which are to run on.
    pub(crate) adopt: KVec<PciDevice>,
}

impl Bound {
    /// Looks at every device behind a unit. With [`Policy::Refuse`] [`EBUSY`] if one other than a
    /// port has a driver: its DMA would go on with addresses that mean nothing any more. Changes
    /// nothing.
    pub(crate) fn find(dmar: &Dmar<'_>, chipset: &Chipset, policy: Policy) -> Result<Self> {
        let mut found = Bound {
            release: KVec::new(),
            adopt: KVec::new(),
        };
        let mut in_the_way = 0;
        for device in PciDevice::all() {
            let Some(driver) = device.as_device().driver() else {
                continue;
            };
            let chain = match Chain::of(&device) {
                Ok(chain) => chain,
                Err(ENODEV) => continue,
                Err(e) => return Err(e),
            };
            if chipset.unit_for(dmar, &chain).is_none() {
                continue;
            }
            let is_port = driver.manages_dma && device.is_bridge();
            match policy {
                _ if is_port => found.release.push(device, GFP_KERNEL)?,
                Policy::Rebind => {
                    log_info!(
                        "{}: driver {} is released and attached again",
                        device.as_device(),
                        driver.name
                    );
                    found.release.push(device, GFP_KERNEL)?;
                }
                Policy::Adopt => found.adopt.push(device, GFP_KERNEL)?,
                Policy::Refuse => {
                    in_the_way += 1;
                    log_err!(
                        "{} is in use by driver {}: its DMA would break",
                        device.as_device(),
                        driver.name
                    );
                }
            }
        }
        if in_the_way > 0 {
            log_err!(
                "not loaded: {in_the_way} device(s) behind remapping units have drivers. Load vtd \
                 before them (from the initramfs), unbind them first, or choose bound=1 (they run \
                 on untranslated) or bound=2 (they are released and attached again)"
            );
            return Err(EBUSY);
        }
        Ok(found)
    }

    /// Releases drivers, so that the core meets no bound device when it probes. They come back
    /// when the result is dropped.
    pub(crate) fn release(self) -> Released {
        for device in self.release.iter() {
            device.release_driver();
        }
        Released {
            devices: self.release,
        }
    }
}

/// Devices without their drivers, for the time of a registration.
pub(crate) struct Released {
    devices: KVec<PciDevice>,
}

impl Drop for Released {
    fn drop(&mut self) {
        for device in self.devices.iter() {
            if device.attach_driver() {
                continue;
            }
            let lost = if device.is_bridge() {
                "hot-plug and error reporting of this port are off"
            } else {
                "the device is idle"
            };
            log_warn!(
                "{}: its driver did not come back: {lost}",
                device.as_device()
            );
        }
    }
}
