// SPDX-License-Identifier: GPL-2.0

//! The proof that a flush of a whole domain has taken effect.

use crate::domain::attachments::Attachments;
use vtd_core::concurrent::attachments::AttachedUnits;

/// Every unit with devices in a domain has invalidated all its translations since the flush began,
/// or translates nothing. Only a flush creates one.
pub(in crate::domain) struct Confirmed(());

impl Confirmed {
    /// Flushes all translations of the domain. [`None`] if a unit confirmed neither that nor, when
    /// it failed, that its caches are empty.
    ///
    /// # Context
    ///
    /// Any context.
    pub(in crate::domain) fn by_flush(attachments: &Attachments) -> Option<Self> {
        attachments.flush_list.invalidate_all();
        // A unit that has failed has blocked its devices. One that left the domain was flushed when
        // its last device did; if it had not confirmed that, the domain keeps its memory for good.
        attachments
            .all_units(|unit| !unit.may_still_reach())
            .then_some(Confirmed(()))
    }
}
