// SPDX-License-Identifier: GPL-2.0

//! Before anything is touched: which devices already have drivers.

use super::topology::Chain;
use kernel::prelude::*;
use kernel_ext::pci::PciDevice;
use kernel_ext::{log_err, log_warn};
use vtd_core::dmar::Dmar;

/// The ports behind units whose drivers are bound, as they always are.
pub(crate) struct BoundPorts {
    ports: KVec<PciDevice>,
}

impl BoundPorts {
    /// Looks at every device behind a unit. [`EBUSY`] if one other than a port has a driver: its
    /// DMA would go on with addresses that mean nothing any more. Changes nothing.
    pub(crate) fn find(dmar: &Dmar<'_>) -> Result<Self> {
        let mut ports = KVec::new();
        let mut in_the_way = 0;
        for device in PciDevice::all() {
            let Ok(chain) = Chain::of(&device) else {
                continue;
            };
            if dmar.unit_for(chain.segment, &chain.functions).is_none() {
                continue;
            }
            match device.as_device().driver() {
                None => {}
                Some(driver) if driver.manages_dma && device.is_bridge() => {
                    ports.push(device, GFP_KERNEL)?;
                }
                Some(driver) => {
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
                 before them (from the initramfs), or unbind them first"
            );
            return Err(EBUSY);
        }
        Ok(BoundPorts { ports })
    }

    /// Releases the ports' drivers, so that the core meets no bound device when it probes. They
    /// come back when the result is dropped.
    pub(crate) fn release(self) -> ReleasedPorts {
        for port in self.ports.iter() {
            port.release_driver();
        }
        ReleasedPorts { ports: self.ports }
    }
}

/// Ports without their drivers, for the time of a registration.
pub(crate) struct ReleasedPorts {
    ports: KVec<PciDevice>,
}

impl Drop for ReleasedPorts {
    fn drop(&mut self) {
        for port in self.ports.iter() {
            if !port.attach_driver() {
                log_warn!(
                    "{}: its port driver did not come back: hot-plug and error reporting of this \
                     port are off",
                    port.as_device()
                );
            }
        }
    }
}
