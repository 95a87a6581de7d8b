// SPDX-License-Identifier: GPL-2.0

//! What to invalidate after tables have changed: ranges and entries in, the fewest
//! invalidations out.
//!
//! Hardware caches context entries, table entries and translations, tagged with
//! domain-ids (VT-d 6.2), and looks at memory again only for what it was told to drop.
//! Everything in here says what to tell it and in which order; telling it, and waiting,
//! is the caller's.

mod range;
mod sequence;

pub use range::{
    cover_range, cover_range_with_one, InvalidationRange, IotlbScopes, RangeInvalidator,
};
pub use sequence::{
    after_absent_fpd_changes, after_context_change, after_fpd_change, after_map, Invalidation,
    InvalidationStep, InvalidationSteps,
};
