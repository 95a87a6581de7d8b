// SPDX-License-Identifier: GPL-2.0

//! What only the bench module uses: the kernel's IOMMU core and DMA API from the side of their
//! users, whichever driver serves them, and the means to measure them.
//!
//! A [`Domain`] is mapped and unmapped by its owner alone; a [`Claim`] takes a device's group away
//! from the kernel's drivers, and a domain keeps the claims that are attached to it.
//!
//! # Why any address may be mapped
//!
//! A mapping lets the devices of a domain reach the memory that it names, whatever it is used for.
//! No type could tell what may be named; so a domain here has only devices that do no DMA at all:
//! claimed, so that no driver tells them to, and with bus mastering off.
//!
//! Everything is inline, so that a module has of this only what it uses.

mod claim;
pub mod dma;
mod domain;
pub mod measure;

pub use claim::Claim;
pub use domain::{ConsumerDomain, MapStatus};
