// SPDX-License-Identifier: GPL-2.0

//! Interfaces that only the bench module uses: the IOMMU core and the DMA API for their users, with
//! any IOMMU driver, and functions to measure them.
//!
//! Only its owner maps and unmaps a [`ConsumerDomain`]. A [`Claim`] takes a device's group from the
//! kernel's drivers, and a domain keeps the claims of the groups that are attached to it.
//!
//! # Why any address may be mapped
//!
//! A mapping lets the devices of a domain reach the mapped memory, whatever that is used for. No
//! type can check which memory may be mapped. So a domain here has only devices that do no DMA at
//! all: they are claimed, so that no driver starts DMA, and their bus mastering is off.
//!
//! Everything is inline, so that a module contains only the code that it uses.

mod claim;
pub mod dma;
mod domain;
pub mod measure;

pub use claim::Claim;
pub use domain::{ConsumerDomain, MapStatus};
