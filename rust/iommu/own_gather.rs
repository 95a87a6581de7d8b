// SPDX-License-Identifier: GPL-2.0

//! The invalidation after a change of tables for which the core itself requests none.

use super::gather::Gather;
use super::traits::Paging;
use crate::bindings;
use core::pin::Pin;

impl Gather {
    /// Calls `f` with a new gather, then invalidates its range with `paging`, then frees its
    /// tables. This is the order in which the core does it after an unmap.
    #[inline]
    pub fn with_own<P: Paging, R>(paging: &P, f: impl FnOnce(Pin<&mut Gather>) -> R) -> R {
        let mut own = bindings::iommu_iotlb_gather {
            start: usize::MAX,
            ..Default::default()
        };
        let list = &raw mut own.freelist.pages;
        own.freelist.pages.next = list;
        own.freelist.pages.prev = list;
        // SAFETY: Initialised above, and not moved or accessed directly before the end.
        let mut gather = unsafe { Self::from_raw(&raw mut own) };
        let result = f(gather.as_mut());
        // Retired tables come with a range, see `table_pages::TablePages::retire`.
        if !gather.is_empty() {
            paging.iotlb_sync(gather.as_mut());
            gather.free_tables();
        }
        result
    }
}
