// SPDX-License-Identifier: GPL-2.0

//! Correct uses of what the other files misuse: this compiles.

use core::pin::Pin;
use kernel::prelude::*;
use kernel_ext::acpi;
use kernel_ext::iommu::table_pages;
use kernel_ext::iommu::{Gather, Held, Paging, RegionKind, Regions};
use kernel_ext::mmio::Registers;
use kernel_ext::pages::{Gfp, NumaNode, Pages};
use vtd_core::pgtable::SecondStage;

type DomainTables = vtd_tables::DomainTables<SecondStage, true>;

/// Allocates, and reads an address.
pub fn tables(tables: &table_pages::TablePages) -> Result<u64> {
    Ok(tables.phys(tables.alloc(Gfp::KERNEL)?))
}

/// Uses one gather inside another.
pub fn gathers(paging: &impl Paging) {
    Gather::with_own(paging, |mut one| {
        one.as_mut().add(0, 1);
        Gather::with_own(paging, |two| two.add(1, 1));
        one.add(2, 1);
    });
}

/// Adds two regions.
pub fn regions(mut regions: Pin<&mut Regions>) {
    regions.as_mut().add(0, 1, RegionKind::Msi);
    regions.add(1, 1, RegionKind::Msi);
}

/// Unmaps once.
pub fn unmaps(range: Held<'_, DomainTables>, gather: Pin<&mut Gather>) -> u64 {
    DomainTables::unmap(range, gather)
}

/// Only reads.
pub fn looks(range: &Held<'_, DomainTables>) -> bool {
    DomainTables::iova_to_phys(range).is_some()
}

/// Allocates anywhere.
pub fn pages() -> Result<Pages> {
    Pages::new(NumaNode::NO_NODE, 0, Gfp::KERNEL)
}

/// Claims an address that firmware lists.
pub fn claims(table: &acpi::AcpiTable, address: u64) -> Result<Registers> {
    Registers::request(table.find_address(address).ok_or(EINVAL)?, 4096, c"unsound")
}
