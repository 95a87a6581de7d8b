// SPDX-License-Identifier: GPL-2.0

//! Replaces a context entry: the order of stores and invalidations.
//!
//! A context entry has 128 bits, and a processor stores 64 bits at a time. A unit may read the word
//! with the present bit first and the other word later. An invalidation for the old domain-id finds
//! only what was cached under that id. Therefore only the low word of a present entry changes, to
//! clear P and FPD, before the unit has confirmed that it invalidated the entry (VT-d 6.5.3.3).
//! Otherwise the unit could cache the old table under the new domain-id, where no invalidation of
//! the old domain-id finds it.

use crate::invalidation::{after_context_change, after_fpd_change, InvalidationSteps};
use crate::spec::address::SourceId;
use crate::spec::capability::Capability;
use crate::spec::context::ContextEntry;

/// The context entry of one requester, in memory, and the unit that reads it.
pub trait ContextSlot {
    /// The reason why the unit did not confirm an invalidation.
    type Error;

    /// Stores `entry`, then writes both words back if the unit does not snoop.
    ///
    /// Stores the word with the present bit last if the entry is present, and first if it is not.
    fn write(&mut self, entry: ContextEntry);

    /// Performs `steps` in their order and returns when the unit has confirmed all of them.
    ///
    /// # Errors
    ///
    /// The reason why the unit did not confirm one of them.
    fn perform(&mut self, steps: InvalidationSteps) -> Result<(), Self::Error>;
}

/// Replaces the context entry `old`, which the slot of `source` holds, by `new`.
///
/// On return, no cache of the unit holds a context entry or a translation that came from `old`.
///
/// # Errors
///
/// The error of [`ContextSlot::perform`]. The entry in memory may then block the requester, or may
/// be `new` already.
pub fn replace_context_entry<S: ContextSlot>(
    slot: &mut S,
    cap: Capability,
    source: SourceId,
    old: ContextEntry,
    new: ContextEntry,
) -> Result<(), S::Error> {
    if old.is_present() {
        slot.write(old.withdrawn());
        let steps = after_context_change(cap, source, Some(old.domain()), None);
        slot.perform(steps)?;
    } else if old.fault_processing_disabled() {
        slot.write(ContextEntry::ABSENT);
        slot.perform(after_fpd_change(cap, source, None))?;
    }
    // The unit reads only P and FPD of an entry that is not present, and FPD is clear by now.
    slot.write(new);
    if new.is_present() {
        slot.perform(after_context_change(cap, source, None, Some(new.domain())))?;
    }
    Ok(())
}
