// SPDX-License-Identifier: GPL-2.0

//! Devices behind units: which unit serves them, what they are attached to, and who may own them.
//!
//! # Invariants
//!
//! - What [`DeviceInfo`] says that a device is attached to is what the context entries of all its
//!   requester IDs say. The exceptions are the devices behind a unit that has failed, and a device that
//!   was cut off: they are blocked, whatever is recorded.
//! - Nothing is installed that [`ownership`] has not granted.
//!
//! # Locks
//!
//! 1. the core's group mutex, which the core holds around attach;
//! 2. `Ownership` (mutex), 3. `DeviceInfo::state` (mutex), then those of the unit.

mod access_control;
mod address_history;
mod adopted;
mod ats;
mod attach;
mod attachment;
mod chipset;
mod cut_off;
mod device_tlb;
mod driver_name;
mod info;
mod interrupts;
mod left_out;
mod neighbours;
pub(crate) mod ownership;
pub(crate) mod preflight;
mod probe;
mod rate_limit;
mod regions;
mod topology;
mod trace;
mod untranslated;

pub(crate) use access_control::AccessControl;
pub(crate) use address_history::{AddressHistory, MappingEvent};
pub(crate) use attach::{attach, pass_through_if_reserved, release};
pub(crate) use attachment::{AttachTarget, AttachedDomain, AttachedTo, TraceSteps};
pub(crate) use chipset::Chipset;
pub(crate) use driver_name::DriverName;
pub(crate) use info::DeviceInfo;
pub(crate) use interrupts::DeviceInterrupts;
pub(crate) use probe::{probe, SharedRecords};
pub(crate) use rate_limit::RateLimit;
pub(crate) use regions::{CLASS_USB, MSI_WINDOW};
pub(crate) use topology::PciPath;
pub(crate) use untranslated::UntranslatedDevices;
