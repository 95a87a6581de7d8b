// SPDX-License-Identifier: GPL-2.0

//! Intel VT-d (DMA remapping) driver.
//!
//! Its parts, from the ground up; each uses only those above it in this list:
//!
//! - `kernel_ext`: safe interfaces to the kernel
//! - `vtd_core`: code that needs no kernel: DMAR parsing, page tables, entry formats, ownership
//! - `vtd_tables`: page tables in the kernel's memory
//! - [`unit`]: one remapping unit: registers, context entries, invalidation, faults
//! - [`device`]: one device: probe, attach, ownership of its group
//! - [`domain`]: paging domains: map, unmap, and the invalidation that follows
//! - [`machine`]: all units, devices and domains, and look-ups among them
//! - [`report`]: the log, sysfs, debugfs
//! - [`driver`]: load, unload, hot-plug, and the operations that the IOMMU core calls

#![deny(unsafe_code)]

mod device;
mod domain;
mod driver;
mod machine;
mod report;
mod unit;

use kernel::prelude::*;
use kernel_ext::log_err;
use kernel_ext::param::{ignore, rmrr, value};

struct VtdModule {
    _loaded: driver::Loaded,
}

impl kernel::Module for VtdModule {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let options = driver::LoadOptions {
            unit: unit::Options {
                without_queue: value::<i32>(module_parameters::register_invalidation.value()) != 0,
                interrupts: value::<i32>(module_parameters::interrupts.value()) != 0,
                scalable: value::<i32>(module_parameters::scalable.value()) != 0,
            },
            interrupts: value::<i32>(module_parameters::interrupts.value()),
            ats: value::<i32>(module_parameters::ats.value()),
            lazy: value::<i32>(module_parameters::lazy.value()),
            hold: value::<i32>(module_parameters::hold.value()),
            bound: value::<i32>(module_parameters::bound.value()),
            ignore: ignore().inspect_err(|_| log_err!("not loaded: ignore= is not valid text"))?,
            rmrr: rmrr().inspect_err(|_| log_err!("not loaded: rmrr= is not valid text"))?,
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
        hold: i32 {
            default: 1,
            description: "what is unmapped with a deferred flush: 1 held until then (default), 0 not held",
        },
        lazy: i32 {
            default: -1,
            description: "deferred flushing for trusted devices: 1 yes, 0 no, -1 if iommu.strict=0 was given (default)",
        },
        interrupts: i32 {
            default: 1,
            description: "interrupt remapping: 1 where it isolates devices (default), 2 wherever possible, 0 off",
        },
        ats: i32 {
            default: 1,
            description: "device-TLBs (ATS): 0 none, 1 those of devices that need theirs (default), 2 all that can be used",
        },
        scalable: i32 {
            default: 1,
            description: "scalable mode: 1 for each unit that has it (default), 0 legacy mode for all",
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
