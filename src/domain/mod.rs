// SPDX-License-Identifier: GPL-2.0

//! Paging domains: second-stage tables, and the units that walk them.

mod attachments;
mod memory;
mod paging;

pub(crate) use paging::Domain;
