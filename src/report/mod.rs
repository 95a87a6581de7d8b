// SPDX-License-Identifier: GPL-2.0

//! What the person at the console sees: the log, sysfs and debugfs.

mod debugfs;
mod log;
mod sysfs;

pub(crate) use debugfs::{Debugfs, Translations};
pub(crate) use log::{announce, firmware, summary, Faults};
pub(crate) use sysfs::{TEST_PROVOKE, TEST_RESTRICT, UNIT_ATTRIBUTES, USERS};
