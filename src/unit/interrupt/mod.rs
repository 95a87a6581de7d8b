// SPDX-License-Identifier: GPL-2.0

//! Interrupt remapping (VT-d 5.1).
//!
//! A device raises an interrupt by a write whose address names an entry of the unit's table. The
//! entry says which requesters may use it, and the processor and vector that the interrupt goes to.

mod enable;
mod remapping;
mod snapshot;
mod table;

pub(super) use remapping::InterruptRemapping;
pub(crate) use snapshot::InterruptSnapshot;
