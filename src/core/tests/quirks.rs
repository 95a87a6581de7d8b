// SPDX-License-Identifier: GPL-2.0

//! Chipsets that need something of their own: every identifier, and machines as a whole.

#[allow(dead_code)]
mod dmar_build;
mod quirks_ids;
mod quirks_ignore;
mod quirks_machines;
mod quirks_presence;
