// SPDX-License-Identifier: GPL-2.0

//! Events that a unit raises.

mod fault;

pub(crate) use fault::{FaultEvent, FaultSink};
