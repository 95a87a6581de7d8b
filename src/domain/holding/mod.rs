// SPDX-License-Identifier: GPL-2.0

//! Memory that is held from a deferred unmap until the flush.

mod confirmed;
mod memory;
mod records;

pub(super) use confirmed::Confirmed;
pub(super) use memory::Holding;
pub(crate) use records::HeldCounts;
pub(super) use records::{MustFlush, MAX_BYTES};
