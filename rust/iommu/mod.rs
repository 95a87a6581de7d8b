// SPDX-License-Identifier: GPL-2.0

//! The kernel's IOMMU core, for IOMMU drivers.
//!
//! A driver implements [`Driver`] (its operations on devices) and [`Paging`] (a domain with page
//! tables). This module creates the C operation tables, manages reference counts and lifetimes, and
//! frees page-table pages only after [`Paging::iotlb_sync`] has returned.
//!
//! # Life of a driver
//!
//! [`Operations::new`] → for each unit [`IommuUnit::new`] (sysfs) → [`IommuUnit::register`], during
//! which the core probes devices → … → [`IommuUnit::unregister`], which releases them → drop.
//!
//! # Context of the callbacks
//!
//! The core holds the group's mutex in attach, so an attach may sleep but must not call functions
//! of the core that take this mutex. Map, unmap and sync are called in any context.

mod attach_args;
mod callbacks;
mod gather;
mod group;
mod held;
mod operations;
mod own_gather;
mod paging_domain;
mod paging_request;
mod region;
mod slot;
pub mod table_pages;
mod traits;
mod unit;

pub use attach_args::{AttachArgs, DomainInfo, DomainKind};
pub use gather::Gather;
pub use group::Group;
pub use held::Held;
pub use operations::{default_passthrough, Operations};
pub use region::{RegionKind, Regions};
pub use slot::DriverSlot;
pub use traits::{
    Aperture, DefaultDomain, Driver, HardwareInfo, IommuCapability, NewPaging, Paging,
    PagingRequest, Probed, Protection,
};
pub use unit::{IommuUnit, OperationsHandle};
