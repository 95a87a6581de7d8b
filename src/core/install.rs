// SPDX-License-Identifier: GPL-2.0

//! Changes what requesters can reach: which entries change, and the order of stores and
//! invalidations.
//!
//! A context entry has 128 or 256 bits, and a processor stores 64 bits at a time. A unit may read the
//! word with the present bit first and the others later. An invalidation for the old domain-id finds
//! only what was cached under that id. Therefore only the low word of a present entry changes, to
//! clear P and FPD, before the unit has confirmed that it invalidated the entry (VT-d 6.5.3.3).
//! Otherwise the unit could cache the old table under the new domain-id, where no invalidation of
//! the old domain-id finds it.
//!
//! In scalable mode the context entry leads to the PASID table of the requester. Its PASID entry is
//! written only while the context entry is not present and not cached, so no unit can read halves of
//! it either.

use crate::invalidation::{after_context_change, after_fpd_change, InvalidationSteps};
use crate::spec::address::{DomainId, SourceId};
use crate::spec::capability::Capability;
use crate::spec::context::ContextEntry;
use crate::spec::context_lookup::LookupEntries;
use crate::spec::pasid::PasidEntry;
use crate::spec::registers::TranslationTableMode;

/// What the tables of a unit hold for one requester ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequesterEntry {
    /// Legacy mode: the context entry.
    Legacy(ContextEntry),
    /// Scalable mode: the context entry, which leads to the PASID table of this requester ID, and
    /// the PASID entry there for requests without PASID.
    Scalable {
        /// The context entry.
        context: ContextBits,
        /// The PASID entry.
        pasid: PasidEntry,
    },
}

/// What may change in a context entry of scalable mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContextBits {
    /// P: the requester has a PASID table.
    pub present: bool,
    /// FPD: faults are not recorded.
    pub fault_processing_disabled: bool,
    /// DTE: translated requests and requests for translations of a device-TLB are allowed. False if
    /// the entry is not present.
    pub device_tlb: bool,
}

impl RequesterEntry {
    /// Returns an entry that blocks the requester, for a unit in this mode.
    pub const fn absent(mode: TranslationTableMode) -> Self {
        match mode {
            TranslationTableMode::Legacy => Self::Legacy(ContextEntry::ABSENT),
            TranslationTableMode::Scalable => Self::scalable(PasidEntry::ABSENT, false),
        }
    }

    /// Returns an entry of scalable mode that leads to `pasid`. With `device_tlb`, the device may use
    /// its TLB.
    pub const fn scalable(pasid: PasidEntry, device_tlb: bool) -> Self {
        let present = pasid.is_present();
        Self::Scalable {
            context: ContextBits {
                present,
                fault_processing_disabled: false,
                device_tlb: present && device_tlb,
            },
            pasid,
        }
    }

    /// Returns the mode of units that read this entry.
    pub const fn mode(&self) -> TranslationTableMode {
        match self {
            Self::Legacy(_) => TranslationTableMode::Legacy,
            Self::Scalable { .. } => TranslationTableMode::Scalable,
        }
    }

    /// Returns whether requests can reach anything.
    pub const fn is_present(&self) -> bool {
        match self {
            Self::Legacy(entry) => entry.is_present(),
            Self::Scalable { context, .. } => context.present,
        }
    }

    /// Returns whether faults are not recorded.
    pub const fn fault_processing_disabled(&self) -> bool {
        match self {
            Self::Legacy(entry) => entry.fault_processing_disabled(),
            Self::Scalable { context, .. } => context.fault_processing_disabled,
        }
    }

    /// Returns the domain-id, if the entry is present.
    pub const fn domain(&self) -> Option<DomainId> {
        match self {
            _ if !self.is_present() => None,
            Self::Legacy(entry) => Some(entry.domain()),
            Self::Scalable { pasid, .. } => Some(pasid.domain()),
        }
    }

    /// Returns this entry with P and FPD of the context entry clear. Hardware that has read any part
    /// of it before finds the rest unchanged.
    pub const fn withdrawn(self) -> Self {
        match self {
            Self::Legacy(entry) => Self::Legacy(entry.withdrawn()),
            Self::Scalable { pasid, .. } => Self::Scalable {
                context: ContextBits {
                    present: false,
                    fault_processing_disabled: false,
                    device_tlb: false,
                },
                pasid,
            },
        }
    }

    /// Returns this entry with FPD set: faults are not recorded.
    pub const fn with_fault_processing_disabled(self) -> Self {
        match self {
            Self::Legacy(entry) => Self::Legacy(entry.with_fault_processing_disabled()),
            Self::Scalable { context, pasid } => Self::Scalable {
                context: ContextBits {
                    fault_processing_disabled: true,
                    ..context
                },
                pasid,
            },
        }
    }
}

impl From<LookupEntries> for RequesterEntry {
    fn from(entries: LookupEntries) -> Self {
        match entries {
            LookupEntries::Legacy(context) => Self::Legacy(context),
            LookupEntries::Scalable { context, pasid, .. } => Self::Scalable {
                context: ContextBits {
                    present: context.is_present(),
                    fault_processing_disabled: context.fault_processing_disabled(),
                    device_tlb: context.is_present() && context.device_tlb(),
                },
                pasid,
            },
        }
    }
}

impl From<ContextEntry> for RequesterEntry {
    fn from(entry: ContextEntry) -> Self {
        Self::Legacy(entry)
    }
}

/// The entry of one requester ID, in memory, and the unit that reads it.
pub trait RequesterSlot {
    /// The reason why the unit did not confirm an invalidation.
    type Error;

    /// Performs the [`entry_stores`] of `entry`, then writes the words back if the unit does not
    /// snoop. In scalable mode, a PASID entry that changes is stored while the context entry is not
    /// present: before it becomes present, or after it was withdrawn.
    fn write(&mut self, entry: RequesterEntry);

    /// Performs `steps` in their order and returns when the unit has confirmed all of them.
    ///
    /// # Errors
    ///
    /// The reason why the unit did not confirm one of them.
    fn perform(&mut self, steps: InvalidationSteps) -> Result<(), Self::Error>;
}

/// The context entry and the PASID entry of one requester ID, in memory.
pub trait ScalableMemory {
    /// Writes the context entry: one that leads to the PASID table if it is present.
    fn write_context(&mut self, context: ContextBits);

    /// Writes the PASID entry, unless memory has it already.
    fn write_pasid(&mut self, entry: PasidEntry);
}

/// Writes an entry of scalable mode: a context entry that is present after its PASID entry, and one
/// that is not present before it.
pub fn write_scalable<M: ScalableMemory>(memory: &mut M, context: ContextBits, pasid: PasidEntry) {
    if context.present {
        memory.write_pasid(pasid);
    }
    memory.write_context(context);
    if !context.present {
        memory.write_pasid(pasid);
    }
}

/// Returns the stores that write an entry, in their order: the index of a word, and its value.
///
/// A unit never sees a part of an entry as present: the word with the present bit is stored last if
/// the entry is present, and first if it is not.
pub fn entry_stores<const WORDS: usize>(words: [u64; WORDS]) -> [(usize, u64); WORDS] {
    let mut stores = [(0, 0); WORDS];
    for (store, word) in stores.iter_mut().zip(words.into_iter().enumerate()) {
        *store = word;
    }
    if words.first().is_some_and(|low| low & 1 != 0) {
        stores.reverse();
    }
    stores
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

/// The entries of a unit, and how many devices use each of their requester IDs.
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
    fn entry(&self, source: SourceId) -> RequesterEntry;

    /// Replaces the entry `old` of `source` by `new`: [`replace_entry`].
    ///
    /// # Errors
    ///
    /// That of [`RequesterSlot::perform`].
    fn replace(
        &mut self,
        source: SourceId,
        old: RequesterEntry,
        new: RequesterEntry,
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
/// [`RequesterSlot::perform`].
pub fn install<E: RequesterEntries>(
    entries: &mut E,
    sources: &[SourceId],
    before: WasInstalled,
    new: RequesterEntry,
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
        if old != new {
            entries.replace(source, old, new)?;
        }
    }
    Ok(())
}

/// Replaces the entry `old`, which the slot of `source` holds, by `new`.
///
/// On return, no cache of the unit holds an entry or a translation that came from `old`.
///
/// # Errors
///
/// The error of [`RequesterSlot::perform`]. The entry in memory may then block the requester, or
/// may be `new` already.
pub fn replace_entry<S: RequesterSlot>(
    slot: &mut S,
    cap: Capability,
    source: SourceId,
    old: RequesterEntry,
    new: RequesterEntry,
) -> Result<(), S::Error> {
    let mode = new.mode();
    if let Some(id) = old.domain() {
        slot.write(old.withdrawn());
        slot.perform(after_context_change(mode, cap, source, Some(id), None))?;
    } else if old.fault_processing_disabled() {
        slot.write(old.withdrawn());
        slot.perform(after_fpd_change(cap, source, None))?;
    }
    // The unit reads only P and FPD of an entry that is not present, and FPD is clear by now.
    slot.write(new);
    if let Some(id) = new.domain() {
        slot.perform(after_context_change(mode, cap, source, None, Some(id)))?;
    }
    Ok(())
}

/// Disables the recording of faults (FPD) in the entry `old`, which the slot of `source` holds,
/// unless it is disabled there.
///
/// # Errors
///
/// The error of [`RequesterSlot::perform`]. The bit in memory is set then.
pub fn disable_fault_processing<S: RequesterSlot>(
    slot: &mut S,
    cap: Capability,
    source: SourceId,
    old: RequesterEntry,
) -> Result<(), S::Error> {
    if old.fault_processing_disabled() {
        return Ok(());
    }
    // One bit in the word with the present bit: hardware never sees a half-written entry.
    slot.write(old.with_fault_processing_disabled());
    slot.perform(after_fpd_change(cap, source, old.domain()))
}
