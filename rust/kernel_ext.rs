// SPDX-License-Identifier: GPL-2.0

//! The kernel layer: what upstream would keep in `rust/kernel` and `rust/helpers`.
//!
//! Every call into C and every bindings item of the project is in this crate, behind safe types.
//! So is every unsafe block except those of `vtd_tables`, for which [`iommu::table_pages`] has
//! unsafe functions. Nothing here is specific to VT-d: another IOMMU driver could use the [`iommu`]
//! module unchanged.
//!
//! [`bench`] is separate: only the bench module uses it, and nothing else here refers to it.
//!
//! Differences between the supported kernels (7.2 and 7.3) are hidden by this crate.

#![deny(unsafe_op_in_unsafe_fn)]

pub(crate) mod bindings;

pub mod acpi;
pub mod bench;
pub mod clock;
pub mod cmdline;
pub mod debugfs;
pub mod device;
pub mod errno;
pub mod hold;
pub mod iommu;
pub mod irq;
pub mod kdump;
pub mod late;
pub mod lock;
pub mod memory;
pub mod mmio;
pub mod module;
pub mod msi;
pub mod notifier;
pub mod pages;
pub mod param;
pub mod pci;
pub mod percpu;
pub mod periodic;
pub mod print;
mod rescan;
pub mod shrinker;
pub mod syscore;
pub mod sysfs;
pub mod taint;
pub mod trace;
pub mod wired_irq;
