// SPDX-License-Identifier: GPL-2.0

//! Log messages about the machine and about refused requests.

mod crash_kernel;
mod fault;
mod fault_event;
mod fault_words;
mod firmware;
mod interrupts;
mod units;
mod unknown_requester;

pub(crate) use crash_kernel::log_crash_kernel;
pub(crate) use fault::FaultReporter;
pub(crate) use firmware::{log_firmware_notes, log_relaxed_regions};
pub(crate) use interrupts::log_interrupts;
pub(crate) use units::{log_summary, log_unit};
