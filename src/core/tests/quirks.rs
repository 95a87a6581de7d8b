// SPDX-License-Identifier: GPL-2.0

//! Tests of quirks: every identifier, and whole machines.

#[allow(dead_code)]
mod dmar_build;
mod quirks_ids;
mod quirks_ignore;
mod quirks_machines;
mod quirks_presence;
