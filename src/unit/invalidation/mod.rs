// SPDX-License-Identifier: GPL-2.0

//! Invalidating what a unit has cached.

mod begun;
mod by_register;
mod cut_off;
mod device_tlbs;
mod failure;
mod fast_path;
mod interrupts;
mod invalidator;
mod queue;
mod queue_error;
mod queue_recovery;
mod trace;
mod with_device_tlbs;

pub(crate) use device_tlbs::DeviceTlb;
pub(super) use invalidator::{Invalidated, InvalidationPaths, Invalidator};
pub(super) use queue::Queue;
