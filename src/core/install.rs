// SPDX-License-Identifier: GPL-2.0

//! Changes what requesters can reach: which context entries change, and the order of stores and
//! invalidations.
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

    /// Performs the [`entry_stores`] of `entry`, then writes both words back if the unit does not
    /// snoop.
    fn write(&mut self, entry: ContextEntry);

    /// Performs `steps` in their order and returns when the unit has confirmed all of them.
    ///
    /// # Errors
    ///
    /// The reason why the unit did not confirm one of them.
    fn perform(&mut self, steps: InvalidationSteps) -> Result<(), Self::Error>;
}

/// Returns the stores that write an entry of 128 bits, in their order: the index of a word, and its
/// value.
///
/// A unit never sees half of an entry as present: the word with the present bit is stored last if
/// the entry is present, and first if it is not.
pub const fn entry_stores([low, high]: [u64; 2]) -> [(usize, u64); 2] {
    if low & 1 == 0 {
        [(0, low), (1, high)]
    } else {
        [(1, high), (0, low)]
    }
}

/// Whether a device had a translation installed before, and with it a use of each of its
/// requester IDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WasInstalled {
    /// The device was blocked.
    No,
    /// The device was attached to something.
    Yes,
}

/// The context entries of a unit, and how many devices use each of their requester IDs.
pub trait RequesterEntries {
    /// The reason why an entry was not replaced.
    type Error;

    /// Allocates what the entry of `source` needs, unless it exists.
    ///
    /// # Errors
    ///
    /// There is no memory for it.
    fn prepare(&mut self, source: SourceId) -> Result<(), Self::Error>;

    /// Counts one more (`more`) or one fewer device that uses `source`, and returns how many do.
    fn count_use(&mut self, source: SourceId, more: bool) -> u16;

    /// Returns the entry of `source`.
    fn entry(&self, source: SourceId) -> ContextEntry;

    /// Replaces the entry `old` of `source` by `new`: [`replace_context_entry`].
    ///
    /// # Errors
    ///
    /// That of [`ContextSlot::perform`].
    fn replace(
        &mut self,
        source: SourceId,
        old: ContextEntry,
        new: ContextEntry,
    ) -> Result<(), Self::Error>;
}

/// Installs `new` for every requester ID in `sources`, all of which one device uses. `before`:
/// whether something was installed for this device. A requester ID that another device uses stays
/// as it is if `new` is not present.
///
/// On return, no cache of the unit holds what the requesters could reach before.
///
/// # Errors
///
/// That of [`RequesterEntries::prepare`], and nothing has changed then, or that of
/// [`ContextSlot::perform`].
pub fn install<E: RequesterEntries>(
    entries: &mut E,
    sources: &[SourceId],
    before: WasInstalled,
    new: ContextEntry,
) -> Result<(), E::Error> {
    for &source in sources {
        entries.prepare(source)?;
    }
    for &source in sources {
        match (before, new.is_present()) {
            (WasInstalled::No, true) => {
                entries.count_use(source, true);
            }
            // The device had nothing installed. A requester ID that it shares may be in use by a
            // sibling.
            (WasInstalled::No, false) => continue,
            // Another device may still use this requester ID.
            (WasInstalled::Yes, false) if entries.count_use(source, false) > 0 => continue,
            (WasInstalled::Yes, _) => {}
        }
        let old = entries.entry(source);
        if old.words() != new.words() {
            entries.replace(source, old, new)?;
        }
    }
    Ok(())
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

/// Disables the recording of faults (FPD) in the context entry `old`, which the slot of `source`
/// holds, unless it is disabled there.
///
/// # Errors
///
/// The error of [`ContextSlot::perform`]. The bit in memory is set then.
pub fn disable_fault_processing<S: ContextSlot>(
    slot: &mut S,
    cap: Capability,
    source: SourceId,
    old: ContextEntry,
) -> Result<(), S::Error> {
    if old.fault_processing_disabled() {
        return Ok(());
    }
    // One bit in the word with the present bit: hardware never sees a half-written entry.
    slot.write(old.with_fault_processing_disabled());
    let id = old.is_present().then(|| old.domain());
    slot.perform(after_fpd_change(cap, source, id))
}
