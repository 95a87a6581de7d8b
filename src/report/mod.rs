// SPDX-License-Identifier: GPL-2.0

//! Reports to the user: the log, sysfs and debugfs.

mod debugfs;
mod log;
mod sysfs;
mod test_hooks;

pub(crate) use debugfs::{Debugfs, TranslationFiles};
pub(crate) use log::{
    log_crash_kernel, log_firmware_notes, log_interrupts, log_relaxed_regions, log_summary,
    log_unit, FaultReporter,
};
pub(crate) use sysfs::{UNIT_ATTRIBUTES, USERS};
pub(crate) use test_hooks::{INJECT_ERROR, LIMIT_UNITS};
