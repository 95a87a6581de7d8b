// SPDX-License-Identifier: GPL-2.0

//! The kernel's IOMMU core, from a driver's side; [`consumer`] is the other one.
//!
//! A driver implements [`Driver`] (what a device behind a unit means) and [`Paging`] (a domain with
//! page tables); this module makes the C operation tables, keeps reference counts and lifetimes
//! right, and gives back page-table pages only after [`Paging::sync`] has returned.
//!
//! # Life of a driver
//!
//! [`Operations::new`] → for each unit [`Unit::new`] (sysfs) → [`Unit::register`], during which
//! the core probes devices → … → [`Unit::unregister`], which releases them → drop.
//!
//! # Context of the callbacks
//!
//! The core holds the group's mutex in attach, so an attach may sleep but must not ask the core
//! for the group. Map, unmap and sync come from any context.

pub mod consumer;

mod answers;
mod change;
mod context;
mod domain;
mod gather;
mod group;
mod held;
mod operations;
mod region;
mod unit;

pub use answers::{Capability, DefaultDomain, HardwareInfo};
pub use change::{Change, DomainKind, DomainView};
pub use context::Context;
pub use domain::{Aperture, NewPaging, Paging, Protection};
pub use gather::Gather;
pub use group::Group;
pub use held::Held;
pub use operations::{user_chose_passthrough, Driver, Operations, Probed};
pub use region::{RegionKind, Regions};
pub use unit::Unit;
