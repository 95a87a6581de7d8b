// SPDX-License-Identifier: GPL-2.0

//! The specification's types in words: what registers, faults and descriptors hold, for logs and
//! reports.

pub mod register;

mod capability;
mod descriptor;
mod fault;
mod status;
