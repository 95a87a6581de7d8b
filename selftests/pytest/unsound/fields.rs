// SPDX-License-Identifier: GPL-2.0

//! What only the layer makes, put together from its parts. (A file of its own: the compiler says so
//! only where nothing else is wrong.)

use kernel_ext::iommu::Held;
use vtd_tables::Tables;

/// A range that nobody holds.
pub fn holds_anything(tables: &Tables) -> Held<'_, Tables> {
    Held {
        tables,    //~ E0451
        iova: 0,   //~ E0451
        len: 4096, //~ E0451
    }
}
