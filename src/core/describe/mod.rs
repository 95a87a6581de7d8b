// SPDX-License-Identifier: GPL-2.0

//! Describes the specification's types in words, for logs and reports: registers, faults and
//! descriptors.

pub mod fault;
pub mod register;

mod capability;
mod descriptor;
mod status;
