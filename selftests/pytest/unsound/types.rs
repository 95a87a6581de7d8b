// SPDX-License-Identifier: GPL-2.0

//! Types that only the layer may construct, constructed by others.

use core::pin::Pin;
use kernel::prelude::*;
use kernel_ext::iommu::{Gather, Held, Regions};
use kernel_ext::mmio::Registers;
use kernel_ext::pages::{Gfp, Pages};
use vtd_core::pgtable::SecondStage;

type DomainTables = vtd_tables::DomainTables<SecondStage, true>;

/// A range without a holder.
pub fn holds_anything(tables: &DomainTables) -> Held<'_, DomainTables> {
    Held::new(tables, 0, 4096) //~ E0624
}

/// Tables that hardware may still walk.
pub fn frees_before_the_flush(gather: Pin<&mut Gather>) {
    gather.free_tables(); //~ E0624
}

/// The head of a list, which could be moved.
pub fn moves(regions: Pin<&mut Regions>) -> &mut Regions {
    regions.get_mut() //~ E0277
}

/// Tables with two owners.
pub fn owns_twice(tables: &DomainTables) -> DomainTables {
    tables.clone() //~ E0308
}

/// A NUMA node that does not exist.
pub fn takes_any_node() -> Result<Pages> {
    Pages::new(7, 0, Gfp::KERNEL) //~ E0308
}

/// Registers at any address.
pub fn claims_anything() -> Result<Registers> {
    Registers::request(0xfee0_0000, 4096, c"unsound") //~ E0308
}
