// SPDX-License-Identifier: GPL-2.0

//! The device and the domain that are measured on. The device is one that does nothing unless told
//! to (QEMU's edu), driven by nobody.

use kernel::prelude::*;
use kernel_ext::bench::{Claim, ConsumerDomain};
use kernel_ext::pci::PciDevice;

const EDU_VENDOR: u32 = 0x1234;
const EDU_DEVICE: u32 = 0x11e8;

/// [`ENODEV`] if it is missing.
pub(crate) fn device() -> Result<PciDevice> {
    PciDevice::with_ids(EDU_VENDOR, EDU_DEVICE)
        .next()
        .ok_or(ENODEV)
}

/// A domain for it, with it inside if `attached`.
pub(crate) fn domain(attached: bool) -> Result<ConsumerDomain> {
    let device = device()?;
    let mut domain = ConsumerDomain::new(&device, 1)?;
    if attached {
        domain.attach(Claim::new(&device)?)?;
    }
    Ok(domain)
}
