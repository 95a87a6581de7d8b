// SPDX-License-Identifier: GPL-2.0

//! A counted device on a PCI bus.

use super::device::Device;
use std::sync::Arc;

#[derive(Clone)]
pub(crate) struct PciDevice(pub(crate) Arc<Device>);

impl PciDevice {
    pub(crate) fn as_device(&self) -> &Device {
        &self.0
    }

    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
