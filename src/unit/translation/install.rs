// SPDX-License-Identifier: GPL-2.0

//! Where a translation is installed: context entries, in legacy mode.
//!
//! The one place that changes what a requester may reach. Scalable mode would put another
//! [`Unit::install`] here, which writes PASID entries.

use super::claims::Claims;
use super::domain_ids::PASS_THROUGH;
use super::legacy::{ContextTables, RootTable};
use crate::unit::Unit;
use kernel::prelude::*;
use kernel_ext::pages::NumaNode;
use vtd_core::install::{replace_context_entry, ContextSlot};
use vtd_core::invalidation::InvalidationSteps;
use vtd_core::spec::address::{DomainId, PhysAddr, SourceId};
use vtd_core::spec::context::ContextEntry;
use vtd_core::spec::level::AddressWidth;

/// What a requester may reach.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Translation {
    /// Nothing.
    Blocked,
    /// All of memory, untranslated.
    PassThrough,
    /// What a second-stage table maps.
    SecondStage {
        /// Its top table.
        table: PhysAddr,
        /// Its width.
        width: AddressWidth,
        /// Its tag in this unit's caches.
        id: DomainId,
    },
}

impl Translation {
    fn entry(self, unit: &Unit) -> Result<ContextEntry> {
        match self {
            Translation::Blocked => Ok(ContextEntry::ABSENT),
            Translation::PassThrough if !unit.ecap().pass_through() => Err(EINVAL),
            Translation::PassThrough => Ok(ContextEntry::pass_through(unit.width(), PASS_THROUGH)),
            Translation::SecondStage { table, width, id } => {
                ContextEntry::translating(table, width, id, false).ok_or(EINVAL)
            }
        }
    }
}

/// Whether a device holds a claim on its requesters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum WasInstalled {
    /// It was blocked before.
    No,
    /// It was attached to something before.
    Yes,
}

/// The tables of a unit, and the claims on their entries: what its lock `tables` guards.
pub(crate) struct TranslationState {
    /// The context tables.
    pub(crate) tables: ContextTables,
    /// The claims.
    pub(crate) claims: Claims,
}

impl TranslationState {
    /// No tables yet: every requester is blocked. `coherent`: hardware snoops when it walks.
    pub(crate) fn new(coherent: bool, node: NumaNode) -> Result<Self> {
        Ok(TranslationState {
            tables: ContextTables::new(coherent, node)?,
            claims: Claims::new()?,
        })
    }

    /// Makes what an entry for `source` needs, if it is not there. [`ENOMEM`].
    pub(super) fn prepare(&mut self, root: &RootTable, source: SourceId) -> Result {
        self.claims.prepare(source)?;
        self.tables.prepare(root, source)
    }
}

impl Unit {
    /// Makes what [`Self::install`] for `sources` needs, so that it asks for no memory. They stay
    /// blocked. [`ENOMEM`]. May sleep.
    pub(crate) fn prepare(&self, sources: &[SourceId]) -> Result {
        let prepared = self.change_tables(|state| {
            let mut sources = sources.iter();
            sources.try_for_each(|&source| state.prepare(&self.root, source))
        });
        // In a unit that has failed no entry will be written again.
        prepared.or_else(|e| if self.has_failed() { Ok(()) } else { Err(e) })
    }

    /// Calls `change` with the tables. [`EIO`] if the unit has failed, or fails meanwhile: then all is
    /// withdrawn once more, as no entry may come after the withdrawal of all. May sleep.
    pub(super) fn change_tables(
        &self,
        change: impl FnOnce(&mut TranslationState) -> Result,
    ) -> Result {
        let mut state = self.tables.lock();
        if self.has_failed() {
            return Err(EIO);
        }
        let changed = change(&mut state);
        if self.has_failed() {
            self.block_all();
            return Err(EIO);
        }
        changed
    }

    /// Installs `new` for every requester in `sources`, which one device speaks with.
    ///
    /// The first error, before anything has changed: [`EINVAL`] if the unit cannot do that,
    /// [`ENOMEM`], [`EIO`] if the unit has failed. When it returns, no cache of the unit holds
    /// what the requesters reached before. May sleep.
    pub(crate) fn install(
        &self,
        sources: &[SourceId],
        before: WasInstalled,
        new: Translation,
    ) -> Result {
        if new == Translation::Blocked && self.has_failed() {
            // So it is, and for good.
            return Ok(());
        }
        let entry = new.entry(self)?;
        if before == WasInstalled::No && !entry.is_present() {
            // Blocked already, with or without tables; what blocks must not need memory.
            return Ok(());
        }
        self.change_tables(|state| self.install_in(state, sources, before, entry))
    }

    fn install_in(
        &self,
        state: &mut TranslationState,
        sources: &[SourceId],
        before: WasInstalled,
        entry: ContextEntry,
    ) -> Result {
        for &source in sources {
            state.prepare(&self.root, source)?;
        }
        for &source in sources {
            let wanted = match (before, entry.is_present()) {
                (WasInstalled::No, true) => {
                    state.claims.claim(source, true);
                    entry
                }
                // Nothing was its own; an alias may be a sibling's.
                (WasInstalled::No, false) => continue,
                // Another device may still speak with this requester ID.
                (WasInstalled::Yes, false) if state.claims.claim(source, false) > 0 => continue,
                _ => entry,
            };
            let old = state.tables.get(source);
            if old.words() == wanted.words() {
                continue;
            }
            self.stats.attaches.add(1);
            let cap = self.cap();
            let mut slot = Slot {
                unit: self,
                tables: &mut state.tables,
                source,
            };
            replace_context_entry(&mut slot, cap, source, old, wanted)?;
        }
        Ok(())
    }
}

/// A context entry of a unit whose tables are locked.
struct Slot<'a> {
    unit: &'a Unit,
    tables: &'a mut ContextTables,
    source: SourceId,
}

impl ContextSlot for Slot<'_> {
    type Error = Error;

    fn write(&mut self, entry: ContextEntry) {
        self.tables.set(self.source, entry)
    }

    fn perform(&mut self, steps: InvalidationSteps) -> Result {
        self.unit.perform(steps.iter())
    }
}
