// SPDX-License-Identifier: GPL-2.0

//! Paging domains: page tables, and the units that walk them.

mod attached;
mod attachments;
mod counters;
mod deferred;
mod flush_list;
mod flush_policy;
mod history;
mod holding;
mod paging;
mod purpose;
mod reclaim;
mod registry;
mod snapshot;

pub(crate) use counters::MapCounts;
pub(crate) use flush_policy::FlushChoice;
pub(crate) use paging::{DomainInner, NewDomainArgs};
pub(crate) use purpose::DomainPurpose;
pub(crate) use registry::Listed;

/// All paging domains.
pub(crate) type Domains = registry::Domains<DomainInner>;
