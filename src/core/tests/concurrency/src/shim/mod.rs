// SPDX-License-Identifier: GPL-2.0

//! The parts of the kernel that the driver's files use, built with loom.

pub(crate) mod atomic;
pub(crate) mod attach_checks;
pub(crate) mod clock;
pub(crate) mod device;
pub(crate) mod group_unit;
pub(crate) mod hold;
pub(crate) mod iommu;
pub(crate) mod late;
pub(crate) mod lock;
pub(crate) mod pages;
pub(crate) mod pci;
pub(crate) mod percpu;
pub(crate) mod prelude;
pub(crate) mod print;
pub(crate) mod registers;
pub(crate) mod run;
pub(crate) mod steps;
pub(crate) mod sync;
pub(crate) mod table_pages;
pub(crate) mod trace;
pub(crate) mod unit;

pub(crate) use print::{log_dev_err, log_dev_info, log_dev_warn, log_err, log_info, log_warn};
