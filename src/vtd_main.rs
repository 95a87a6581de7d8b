// SPDX-License-Identifier: GPL-2.0

//! Intel VT-d (DMA remapping) driver.
//!
//! The rooms of the house, each using only those below it:
//!
//! - [`driver`]: the whole; load, leave, what the IOMMU core is answered
//! - [`report`]: faults, sysfs, debugfs
//! - [`machine`]: all units, devices and domains, and look-ups among them
//! - [`domain`]: paging domains
//! - [`device`]: probe, attach, ownership
//! - [`unit`]: one remapping unit
//! - `vtd_core`: what needs no kernel
//! - `vtd_tables`: page tables in the kernel's memory
//! - `kernel_ext`: the kernel, made safe

#![deny(unsafe_code)]

mod device;
mod domain;
mod driver;
mod machine;
mod report;
mod unit;

use kernel::prelude::*;
use kernel_ext::log_err;
use kernel_ext::param::{ignore, value};

struct VtdModule {
    _loaded: driver::Loaded,
}

impl kernel::Module for VtdModule {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let options = driver::LoadOptions {
            unit: unit::Options {
                without_queue: value::<i32>(module_parameters::register_invalidation.value()) != 0,
            },
            lazy: value::<i32>(module_parameters::lazy.value()),
            bound: value::<i32>(module_parameters::bound.value()),
            ignore: ignore().inspect_err(|_| log_err!("not loaded: ignore= is not valid text"))?,
            test_hooks: value::<i32>(module_parameters::test_hooks.value()) != 0,
        };
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
        bound: i32 {
            default: 0,
            description: "devices that have drivers at load: 0 refuse to load (default), 1 leave in pass-through, 2 unbind and bind again",
        },
        lazy: i32 {
            default: -1,
            description: "deferred flushing for trusted devices: 1 yes, 0 no, -1 if iommu.strict=0 was given (default)",
        },
        test_hooks: i32 {
            default: 0,
            description: "1: enable limit_units and inject_error in /sys/kernel/vtd; for tests",
        },
        register_invalidation: i32 {
            default: 0,
            description: "1: invalidate through registers even if a unit has an invalidation queue",
        },
    },
}
