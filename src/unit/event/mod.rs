// SPDX-License-Identifier: GPL-2.0

//! What a unit reports by itself.

mod fault;

pub(crate) use fault::{FaultEvent, FaultSink};
