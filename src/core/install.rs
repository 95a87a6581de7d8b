// SPDX-License-Identifier: GPL-2.0

//! Replacing a context entry: the order of stores and invalidations.
//!
//! An entry has 128 bits and a processor stores 64 at a time. A unit may read the word with the
//! present bit, and the other word later; what it cached under the old domain-id is found under
//! that id only. So nothing but the present bit of a present entry changes before the unit has
//! confirmed that it dropped the entry (VT-d 6.5.3.3): otherwise the old table could be
//! cached under the new domain-id, where no invalidation of the old one finds it.

use crate::invalidation::{after_context_change, after_fpd_change, InvalidationSteps};
use crate::spec::address::SourceId;
use crate::spec::capability::Capability;
use crate::spec::context::ContextEntry;

/// The context entry of one requester, in memory, and the unit that reads it.
pub trait ContextSlot {
    /// Why the unit did not confirm an invalidation.
    type Error;

    /// Stores `entry`: the word with the present bit last if it is present, first if it is not;
    /// then writes both back for a unit that does not snoop.
    fn write(&mut self, entry: ContextEntry);

    /// Takes `steps` in their order and returns when the unit has confirmed all of them.
    fn perform(&mut self, steps: InvalidationSteps) -> Result<(), Self::Error>;
}

/// Replaces `old`, which the slot of `source` holds, by `new`. When it returns, no cache of the
/// unit holds what the requester reached through `old`.
///
/// # Errors
///
/// What [`ContextSlot::perform`] returned; the requester is then blocked as far as memory says so.
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
    // Of an absent entry the unit reads nothing but FPD, which is clear by now.
    slot.write(new);
    if new.is_present() {
        slot.perform(after_context_change(cap, source, None, Some(new.domain())))?;
    }
    Ok(())
}
