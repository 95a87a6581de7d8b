// SPDX-License-Identifier: GPL-2.0

//! Intel VT-d (DMA remapping) driver.
//!
//! The rooms of the house, each using only those below it:
//!
//! - [`driver`]: the whole; load, leave, what the IOMMU core is answered
//! - [`report`]: faults, sysfs, debugfs
//! - [`domain`]: paging domains
//! - [`device`]: probe, attach, ownership
//! - [`unit`]: one remapping unit
//! - `vtd_core`: what needs no kernel
//! - `kernel_ext`: the kernel, made safe

#![deny(unsafe_code)]

mod device;
mod domain;
mod driver;
mod report;
mod unit;

use kernel::prelude::*;

struct VtdModule {
    _loaded: driver::Loaded,
}

impl kernel::Module for VtdModule {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let register_invalidation =
            kernel_ext::param::value::<i32>(module_parameters::register_invalidation.value());
        let options = unit::Options { without_queue: register_invalidation != 0 };
        let _loaded = driver::Loaded::load(module, options)?;
        Ok(VtdModule { _loaded })
    }
}

module! {
    type: VtdModule,
    name: "vtd",
    authors: ["The vtd authors"],
    description: "Intel VT-d (DMA remapping) driver",
    license: "GPL",
    params: {
        register_invalidation: i32 {
            default: 0,
            description: "1: invalidate through registers although a unit has a queue",
        },
    },
}
