// SPDX-License-Identifier: GPL-2.0

//! Invalidating what a unit has cached.

mod fast_path;
mod invalidator;
mod queue;
mod queue_error;
mod queue_recovery;

pub(super) use invalidator::{Invalidated, InvalidationPaths, Invalidator};
pub(super) use queue::{Queue, SLOTS};
