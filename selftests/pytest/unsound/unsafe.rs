// SPDX-License-Identifier: GPL-2.0

//! Unsafe functions called without `unsafe`; and borrowed values, taken or moved.

use core::pin::Pin;
use kernel::prelude::*;
use kernel_ext::iommu::table_pages;
use kernel_ext::iommu::{Gather, Held, Paging};
use vtd_core::pgtable::SecondStage;

type DomainTables = vtd_tables::DomainTables<SecondStage, true>;

/// Writes to any physical page.
pub fn follows_anything(tables: &table_pages::TablePages) -> table_pages::TablePage {
    tables.follow(0x1000) //~ E0133
}

/// A table that may be freed.
pub fn reads_what_may_be_free(table: table_pages::TablePage) -> usize {
    table.entries().len() //~ E0133
}

/// The same table twice.
pub fn frees_twice(tables: &table_pages::TablePages, table: table_pages::TablePage) {
    tables.free(table); //~ E0133
    tables.free(table); //~ E0133
}

/// A table that others may use.
pub fn retires(
    tables: &table_pages::TablePages,
    table: table_pages::TablePage,
    gather: Pin<&mut Gather>,
) {
    tables.retire(table, gather); //~ E0133
}

/// A table that may be freed.
pub fn writes_back(table: table_pages::TablePage) {
    table_pages::write_back(table, 0, 1); //~ E0133
}

/// The head of a list, moved.
pub fn swaps(paging: &impl Paging) {
    Gather::with_own(paging, |mut one| {
        Gather::with_own(paging, |mut two| {
            core::mem::swap(&mut *one, &mut *two); //~ E0596 E0596
        });
    });
}

/// A value that is borrowed for reading.
pub fn unmaps_what_is_lent(range: &Held<'_, DomainTables>, gather: Pin<&mut Gather>) -> u64 {
    DomainTables::unmap(*range, gather) //~ E0507
}

/// A value that is valid for one unmap.
pub fn unmaps_twice(range: Held<'_, DomainTables>, mut gather: Pin<&mut Gather>) -> u64 {
    let first = DomainTables::unmap(range, gather.as_mut());
    first + DomainTables::unmap(range, gather) //~ E0382
}
