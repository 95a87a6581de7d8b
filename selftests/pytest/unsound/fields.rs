// SPDX-License-Identifier: GPL-2.0

//! Types that only the layer may construct, constructed from their parts. (A separate file: the
//! compiler reports it only if nothing else is wrong.)

use kernel_ext::iommu::Held;
use vtd_core::pgtable::SecondStage;

type DomainTables = vtd_tables::DomainTables<SecondStage, true>;

/// A range without a holder.
pub fn holds_anything(tables: &DomainTables) -> Held<'_, DomainTables> {
    Held {
        tables,    //~ E0451
        iova: 0,   //~ E0451
        len: 4096, //~ E0451
    }
}
