// SPDX-License-Identifier: GPL-2.0

//! Intel VT-d (DMA remapping) driver.

#![deny(unsafe_code)]

use kernel::prelude::*;

struct Vtd;

impl kernel::Module for Vtd {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Err(ENODEV)
    }
}

module! {
    type: Vtd,
    name: "vtd",
    authors: ["The vtd authors"],
    description: "Intel VT-d (DMA remapping) driver",
    license: "GPL",
}
