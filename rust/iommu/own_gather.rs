// SPDX-License-Identifier: GPL-2.0

//! Changes that the core does not follow up with an invalidation.

use super::gather::Gather;
use super::traits::Paging;
use crate::bindings;
use core::pin::Pin;

impl Gather {
    /// Lends `f` a gather of its own, then has `paging` invalidate what it holds, then frees its
    /// tables: in the core's order, for changes that the core does not follow up.
    #[inline]
    pub fn with_own<P: Paging, R>(paging: &P, f: impl FnOnce(Pin<&mut Gather>) -> R) -> R {
        let mut own = bindings::iommu_iotlb_gather {
            start: usize::MAX,
            ..Default::default()
        };
        let list = &raw mut own.freelist.pages;
        own.freelist.pages.next = list;
        own.freelist.pages.prev = list;
        // SAFETY: Initialised above, and not moved or used by another name before the end.
        let mut gather = unsafe { Self::from_raw(&raw mut own) };
        let result = f(gather.as_mut());
        // Tables have a range, see `table_pages::Tables::retire`.
        if !gather.is_empty() {
            paging.iotlb_sync(gather.as_mut());
            gather.free_tables();
        }
        result
    }
}
