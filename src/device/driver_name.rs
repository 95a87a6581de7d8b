// SPDX-License-Identifier: GPL-2.0

//! The name of the driver of a device, for reports.

use core::fmt;
use kernel_ext::device::{Device, Name};

/// The name of a driver, or `-`.
pub(crate) struct DriverName(Option<Name>);

impl DriverName {
    /// Returns the name of the driver that `device` has now.
    pub(crate) fn of(device: &Device) -> Self {
        DriverName(device.driver().map(|driver| driver.name))
    }
}

impl fmt::Display for DriverName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(name) => name.fmt(f),
            None => f.write_str("-"),
        }
    }
}
