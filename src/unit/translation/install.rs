// SPDX-License-Identifier: GPL-2.0

//! Installs translations: writes the entries of requesters (VT-d 9.3 to 9.6).
//!
//! This is the only place that changes what a requester can reach.
//!
//! # What is invalidated after an entry has changed
//!
//! [`replace_entry`] stores the entry and requests the invalidations.
//! [`after_context_change`](vtd_core::invalidation::after_context_change) and
//! [`after_fpd_change`](vtd_core::invalidation::after_fpd_change) decide which ones. Each wait ends
//! when the unit has confirmed the invalidations before it. In legacy mode:
//!
//! 1. If the old entry was present, its present bit is cleared. Then come a context-cache
//!    invalidation of this source-id under the old domain-id, a domain-selective IOTLB invalidation
//!    of the old domain-id, and a wait. The order is that of VT-d 6.5.3.3.
//! 2. If the old entry was absent but had FPD set, it is cleared. With caching mode (`CAP.CM`), a
//!    context-cache invalidation of this source-id under domain-id 0 and a wait follow.
//! 3. The new entry is stored. If it is present and the unit has caching mode, a context-cache
//!    invalidation of this source-id under domain-id 0, a domain-selective IOTLB invalidation of
//!    the new domain-id, and a wait follow. Without caching mode no invalidation is needed, because
//!    absent entries are not cached.
//!
//! In scalable mode, step 1 also invalidates the PASID entries that are cached under the old
//! domain-id, between the context cache and the IOTLB. The PASID entry is written in step 3, before
//! the context entry. With caching mode, step 3 invalidates the whole PASID cache as well.
//!
//! A unit with `CAP.RWBF` also has its write buffer flushed after each of these stores, except
//! where step 3 stores an absent entry. A device's TLB is off while its entry changes
//! (`src/device/device_tlb.rs`), so it need not be invalidated. `src/core/tests/caches.rs` runs this sequence against a unit that caches everything
//! it may. The file `fault_recording.rs` says what is invalidated when only FPD changes.

use super::requester_uses::RequesterUses;
use super::root::RootTable;
use super::tables::RequesterTables;
use crate::unit::{DeviceTlb, Unit};
use kernel::prelude::*;
use kernel_ext::pages::NumaNode;
use vtd_core::concurrent::domain_ids::PASS_THROUGH;
use vtd_core::install::{
    install, replace_entry, RequesterEntries, RequesterEntry, RequesterSlot, WasInstalled,
};
use vtd_core::invalidation::InvalidationSteps;
use vtd_core::spec::address::{DomainId, PhysAddr, SourceId};
use vtd_core::spec::context::ContextEntry;
use vtd_core::spec::level::{AddressWidth, Stage};
use vtd_core::spec::pasid::PasidEntry;
use vtd_core::spec::registers::TranslationTableMode;

/// What a requester can reach.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Translation {
    /// Nothing. The context entry is not present.
    Blocked,
    /// All of memory, untranslated.
    PassThrough,
    /// What a second-stage table maps.
    SecondStage {
        /// The address of its top-level table.
        table: PhysAddr,
        /// The width of its addresses.
        width: AddressWidth,
        /// Its domain-id in this unit.
        id: DomainId,
        /// Whether the device may use its TLB.
        device_tlb: bool,
    },
    /// What a first-stage table maps. Scalable mode only.
    FirstStage {
        /// The address of its top-level table.
        table: PhysAddr,
        /// The width of its addresses.
        width: AddressWidth,
        /// Its domain-id in this unit.
        id: DomainId,
        /// Whether the device may use its TLB.
        device_tlb: bool,
    },
}

impl Translation {
    /// Returns what a table of `stage` maps, with the fields of [`Translation::SecondStage`].
    pub(crate) fn of_table(
        stage: Stage,
        table: PhysAddr,
        width: AddressWidth,
        id: DomainId,
        device_tlb: bool,
    ) -> Self {
        match stage {
            Stage::Second => Translation::SecondStage {
                table,
                width,
                id,
                device_tlb,
            },
            Stage::First => Translation::FirstStage {
                table,
                width,
                id,
                device_tlb,
            },
        }
    }

    /// Returns whether the device may use its TLB.
    pub(crate) fn device_tlb(self) -> bool {
        match self {
            Translation::Blocked | Translation::PassThrough => false,
            Translation::SecondStage { device_tlb, .. }
            | Translation::FirstStage { device_tlb, .. } => device_tlb,
        }
    }

    /// Returns the entry that a unit in legacy mode needs.
    fn legacy_entry(self, unit: &Unit) -> Option<ContextEntry> {
        match self {
            Translation::Blocked => Some(ContextEntry::ABSENT),
            Translation::PassThrough => {
                Some(ContextEntry::pass_through(unit.width(), PASS_THROUGH))
            }
            Translation::SecondStage {
                table,
                width,
                id,
                device_tlb,
            } => ContextEntry::translating(table, width, id, device_tlb),
            Translation::FirstStage { .. } => None,
        }
    }

    /// Returns the PASID entry that a unit in scalable mode needs.
    fn pasid_entry(self, unit: &Unit) -> Option<PasidEntry> {
        let snooped = unit.ecap().scalable_coherent_walk();
        match self {
            Translation::Blocked => Some(PasidEntry::ABSENT),
            Translation::PassThrough => Some(PasidEntry::pass_through(
                unit.width(),
                PASS_THROUGH,
                snooped,
            )),
            Translation::SecondStage {
                table, width, id, ..
            } => PasidEntry::second_stage(table, width, id, snooped),
            Translation::FirstStage {
                table, width, id, ..
            } => PasidEntry::first_stage(table, width, id, snooped).map(|entry| {
                if unit.ecap().snoop_control() {
                    entry.with_page_snoop()
                } else {
                    entry
                }
            }),
        }
    }

    fn entry(self, unit: &Unit) -> Result<RequesterEntry> {
        if self == Translation::PassThrough && !unit.ecap().pass_through() {
            return Err(EINVAL);
        }
        match unit.mode() {
            TranslationTableMode::Legacy => self.legacy_entry(unit).map(RequesterEntry::Legacy),
            TranslationTableMode::Scalable => self
                .pasid_entry(unit)
                .map(|pasid| RequesterEntry::scalable(pasid, self.device_tlb())),
        }
        .ok_or(EINVAL)
    }
}

/// The tables of a unit and the use counts of their entries. The lock `tables` of [`Unit`]
/// protects them.
pub(crate) struct TranslationState {
    /// The tables.
    pub(crate) tables: RequesterTables,
    /// The use counts.
    pub(crate) uses: RequesterUses,
}

impl TranslationState {
    /// Creates the state without tables, in which every requester is blocked. `coherent`: whether
    /// the unit snoops the CPU caches on page walks.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(crate) fn new(mode: TranslationTableMode, coherent: bool, node: NumaNode) -> Result<Self> {
        Ok(TranslationState {
            tables: RequesterTables::new(mode, coherent, node)?,
            uses: RequesterUses::new()?,
        })
    }

    /// Allocates the tables and the use counts for `source`, unless they exist.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(super) fn prepare(&mut self, root: &RootTable, source: SourceId) -> Result {
        self.uses.prepare(source)?;
        self.tables.prepare(root, source)
    }
}

impl Unit {
    /// Allocates the tables that [`Self::install`] needs for `sources`, so that it needs no memory.
    /// The requesters stay blocked.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn prepare(&self, sources: &[SourceId]) -> Result {
        let prepared = self.change_tables(|state| {
            let mut sources = sources.iter();
            sources.try_for_each(|&source| state.prepare(&self.root, source))
        });
        // The entries of a failed unit are never written again, so it needs no tables.
        prepared.or_else(|e| if self.has_failed() { Ok(()) } else { Err(e) })
    }

    /// Calls `change` with the tables locked.
    ///
    /// # Errors
    ///
    /// The error of `change`. [`EIO`]: the unit has failed, before or while `change` ran. In the
    /// second case the root table is cleared once more: no entry may be added after all were
    /// cleared.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(super) fn change_tables(
        &self,
        change: impl FnOnce(&mut TranslationState) -> Result,
    ) -> Result {
        let mut state = self.tables.lock();
        if self.has_failed() {
            return Err(EIO);
        }
        let changed = change(&mut state).and_then(|()| self.withdraw_lost());
        if self.has_failed() {
            self.block_all();
            return Err(EIO);
        }
        changed
    }

    /// Installs `new` for every requester ID in `sources`, all of which one device uses. `before`:
    /// whether something was installed for this device. When this returns, no cache of the unit
    /// holds what the requesters could reach before.
    ///
    /// # Errors
    ///
    /// [`EINVAL`]: the unit does not support `new`. [`ENOMEM`] if an allocation fails. In both
    /// cases nothing has changed. [`EIO`]: the unit has failed, or the device, which has the TLB `tlb`,
    /// was cut off before; it is blocked.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn install(
        &self,
        sources: &[SourceId],
        before: WasInstalled,
        new: Translation,
        tlb: Option<&DeviceTlb>,
    ) -> Result {
        if new == Translation::Blocked && self.has_failed() {
            // Every requester of a failed unit stays blocked.
            return Ok(());
        }
        let entry = new.entry(self)?;
        if before == WasInstalled::No && !entry.is_present() {
            // The device is blocked already, with or without tables. Blocking must not need memory.
            return Ok(());
        }
        // A device that was cut off may only be blocked.
        let is_refused = entry.is_present() && tlb.is_some_and(DeviceTlb::is_lost);
        self.change_tables(|state| {
            if !is_refused {
                let mut entries = Entries {
                    unit: self,
                    state,
                    tlb,
                };
                install(&mut entries, sources, before, entry)?;
            }
            // One that is cut off from here on is cut off while it is attached.
            tlb.map_or(Ok(()), |tlb| self.drop_if_lost(tlb))?;
            match is_refused {
                true => Err(EIO),
                false => Ok(()),
            }
        })
    }
}

/// The entries of a unit, whose lock is held.
struct Entries<'a> {
    unit: &'a Unit,
    state: &'a mut TranslationState,
    /// The TLB of the device whose entries change, if it may use one.
    tlb: Option<&'a DeviceTlb>,
}

impl RequesterEntries for Entries<'_> {
    type Error = Error;

    fn prepare(&mut self, source: SourceId) -> Result {
        self.state.prepare(&self.unit.root, source)
    }

    fn count_use(&mut self, source: SourceId, more: bool) -> u16 {
        self.state.uses.count(source, more)
    }

    fn entry(&self, source: SourceId) -> RequesterEntry {
        self.state.tables.get(source)
    }

    fn replace(&mut self, source: SourceId, old: RequesterEntry, new: RequesterEntry) -> Result {
        self.unit.stats.attaches.add(1);
        // The unit may still have an entry that was withdrawn when the device was cut off.
        if let (false, Some(tlb)) = (old.is_present(), self.tlb) {
            self.unit.drop_if_lost(tlb)?;
        }
        let mut slot = Slot::new(self.unit, &mut self.state.tables, source);
        replace_entry(&mut slot, self.unit.cap(), source, old, new)
    }
}

/// The entry of one requester, in a unit whose tables are locked.
pub(super) struct Slot<'a> {
    unit: &'a Unit,
    tables: &'a mut RequesterTables,
    source: SourceId,
}

impl<'a> Slot<'a> {
    /// Returns the entry of `source`.
    pub(super) fn new(unit: &'a Unit, tables: &'a mut RequesterTables, source: SourceId) -> Self {
        Slot {
            unit,
            tables,
            source,
        }
    }
}

impl RequesterSlot for Slot<'_> {
    type Error = Error;

    fn write(&mut self, entry: RequesterEntry) {
        self.tables.set(self.source, entry)
    }

    fn perform(&mut self, steps: InvalidationSteps) -> Result {
        self.unit.perform(steps.iter())
    }
}
