// SPDX-License-Identifier: GPL-2.0

//! Paging domains: second-stage tables, and the units that walk them.

mod attachments;
mod flushing;
mod history;
mod look;
mod paging;
mod purpose;
mod registry;

pub(crate) use flushing::WHAT_LAZY_COSTS;
pub(crate) use paging::{Domain, Inner as DomainLook};
pub(crate) use purpose::Purpose;
pub(crate) use registry::Domains;
