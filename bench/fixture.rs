// SPDX-License-Identifier: GPL-2.0

//! The device and the domain of the measurements. The device is QEMU's edu, which does no DMA by
//! itself, and has no driver.

use kernel::prelude::*;
use kernel_ext::bench::{Claim, ConsumerDomain};
use kernel_ext::pci::PciDevice;

const EDU_VENDOR: u32 = 0x1234;
const EDU_DEVICE: u32 = 0x11e8;

/// Returns all devices of this kind: one, except on a machine with several units, where each unit
/// has one.
pub(crate) fn devices() -> impl Iterator<Item = PciDevice> {
    PciDevice::with_ids(EDU_VENDOR, EDU_DEVICE)
}

/// Returns the device.
///
/// # Errors
///
/// [`ENODEV`] if it is missing.
pub(crate) fn device() -> Result<PciDevice> {
    devices().next().ok_or(ENODEV)
}

/// Creates a domain for the device, and attaches the device if `attached`.
///
/// # Errors
///
/// [`ENODEV`] if the device is missing, or the error of [`ConsumerDomain::new`], [`Claim::new`] or
/// [`ConsumerDomain::attach`].
pub(crate) fn domain(attached: bool) -> Result<ConsumerDomain> {
    let device = device()?;
    let mut domain = ConsumerDomain::new(&device, 1)?;
    if attached {
        domain.attach(Claim::new(&device)?)?;
    }
    Ok(domain)
}
