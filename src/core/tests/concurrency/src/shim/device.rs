// SPDX-License-Identifier: GPL-2.0

//! A device and its driver in the model.

use core::fmt;

#[derive(Clone, Copy)]
pub(crate) struct Driver {
    pub(crate) name: &'static str,
    pub(crate) driver_managed_dma: bool,
}

pub(crate) struct Device {
    pub(crate) name: &'static str,
    pub(crate) driver: Option<Driver>,
}

impl Device {
    pub(crate) fn driver(&self) -> Option<Driver> {
        self.driver
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
