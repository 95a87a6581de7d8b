// SPDX-License-Identifier: GPL-2.0

//! Chooses the invalidations that must follow a change of a context entry or of a page table.
//!
//! Hardware caches context entries, page-table entries and translations, tagged with domain-ids
//! (VT-d 6.2). It reads memory again only after an invalidation. This module decides what to
//! invalidate and in which order; the caller submits the invalidations and waits for them.
//!
//! - After a context entry changed: [`after_context_change`] invalidates the context cache for
//!   that device, then the IOTLB for the domain-id.
//! - After only the FPD bit of a context entry changed: [`after_fpd_change`] and
//!   [`after_absent_fpd_changes`] invalidate the context cache. Translations stay cached.
//! - After a map: [`after_map`] invalidates the IOTLB only on a unit with caching mode.
//! - After an unmap: [`cover_range`] invalidates the IOTLB for the unmapped range, with the fewest
//!   invalidations that the budget allows. [`RangeInvalidator`] is its fast form for one.

mod range;
mod sequence;
mod tag;

pub use range::{cover_range, InvalidationRange, IotlbScopes, RangeInvalidator};
pub use sequence::{
    after_absent_fpd_changes, after_context_change, after_fpd_change, after_map, everything,
    InvalidationStep, InvalidationSteps, MAX_INVALIDATIONS,
};
pub use tag::CacheTag;
