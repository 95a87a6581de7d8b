// SPDX-License-Identifier: GPL-2.0

//! Devices behind units: which unit serves them, what they are attached to, who may own them.
//!
//! # Invariants
//!
//! - What [`DeviceInfo`] says a device is attached to is what the context entries of all its
//!   requester IDs say.
//! - Nothing is installed that [`ownership`] has not granted.
//!
//! # Locks
//!
//! 1. the core's group mutex, held by the core around attach;
//! 2. `Ownership` (mutex), 3. `DeviceInfo::state` (mutex), then those of the unit.

mod access_control;
mod adopted;
mod attach;
mod chipset;
mod info;
mod left_out;
pub(crate) mod ownership;
mod past;
pub(crate) mod preflight;
mod probe;
mod rate_limit;
mod regions;
mod topology;

pub(crate) use access_control::AccessControl;
pub(crate) use attach::{attach, leave, pass_reserved, Attached, Steps};
pub(crate) use chipset::Chipset;
pub(crate) use info::{DeviceInfo, Use};
pub(crate) use past::{Event, Past};
pub(crate) use probe::probe;
pub(crate) use rate_limit::RateLimit;
pub(crate) use regions::MSI_WINDOW;
pub(crate) use topology::Chain;
