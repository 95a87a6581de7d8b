// SPDX-License-Identifier: GPL-2.0

//! What only the layer makes, made by others.

use core::pin::Pin;
use kernel::prelude::*;
use kernel_ext::iommu::{Gather, Held, Regions};
use kernel_ext::mmio::Registers;
use kernel_ext::pages::{Gfp, Pages};
use vtd_tables::Tables;

/// A range that nobody holds.
pub fn holds_anything(tables: &Tables) -> Held<'_, Tables> {
    Held::new(tables, 0, 4096) //~ E0624
}

/// Tables that hardware may still walk.
pub fn frees_before_the_flush(gather: Pin<&mut Gather>) {
    gather.free_tables(); //~ E0624
}

/// The head of a list, to be moved.
pub fn moves(regions: Pin<&mut Regions>) -> &mut Regions {
    regions.get_mut() //~ E0277
}

/// Tables with two owners.
pub fn owns_twice(tables: &Tables) -> Tables {
    tables.clone() //~ E0308
}

/// A node that is not there.
pub fn takes_any_node() -> Result<Pages> {
    Pages::new(7, 0, Gfp::KERNEL) //~ E0308
}

/// Registers anywhere.
pub fn claims_anything() -> Result<Registers> {
    Registers::request(0xfee0_0000, 4096, c"unsound") //~ E0308
}
