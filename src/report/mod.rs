// SPDX-License-Identifier: GPL-2.0

//! What the person at the console sees: the log, sysfs and debugfs.

mod debugfs;
mod fault;
mod firmware;
mod groups;
mod queue;
mod registers;
mod statistics;
mod sysfs;
mod tables;
mod translations;
mod units;
mod unknown;
mod walk;

pub(crate) use debugfs::Debugfs;
pub(crate) use fault::Faults;
pub(crate) use firmware::firmware;
pub(crate) use sysfs::{FOLDER, UNIT_ATTRIBUTES};
pub(crate) use translations::Translations;
pub(crate) use units::{announce, summary};
