// SPDX-License-Identifier: GPL-2.0

//! Where a translation is installed: context entries, in legacy mode.
//!
//! The one place that changes what a requester may reach. Scalable mode would put another
//! [`Unit::install`] here, which writes PASID entries.

use super::domain_ids::PASS_THROUGH;
use super::tables::Tables;
use super::Unit;
use kernel::prelude::*;
use vtd_core::install::{replace, ContextSlot};
use vtd_core::invalidation::{after_recording_change, Steps};
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
pub(crate) enum Claimed {
    /// It was blocked before.
    No,
    /// It was attached to something before.
    Yes,
}

impl Unit {
    /// Makes what [`Self::install`] for `sources` needs, so that it asks for no memory. They stay
    /// blocked. [`ENOMEM`]. May sleep.
    pub(crate) fn prepare(&self, sources: &[SourceId]) -> Result {
        let prepared = self.change_tables(|tables| {
            let mut sources = sources.iter();
            sources.try_for_each(|&source| tables.prepare(&self.root, source))
        });
        // In a unit that has failed no entry will be written again.
        prepared.or_else(|e| if self.has_failed() { Ok(()) } else { Err(e) })
    }

    /// Calls `change` with the tables. [`EIO`] if the unit has failed, or fails meanwhile: then all is
    /// withdrawn once more, as no entry may come after the withdrawal of all. May sleep.
    pub(super) fn change_tables(&self, change: impl FnOnce(&mut Tables) -> Result) -> Result {
        let mut tables = self.tables.lock();
        if self.has_failed() {
            return Err(EIO);
        }
        let changed = change(&mut tables);
        if self.has_failed() {
            self.withdraw_everything();
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
        before: Claimed,
        new: Translation,
    ) -> Result {
        if new == Translation::Blocked && self.has_failed() {
            // So it is, and for good.
            return Ok(());
        }
        let entry = new.entry(self)?;
        if before == Claimed::No && !entry.is_present() {
            // Blocked already, with or without tables; what blocks must not need memory.
            return Ok(());
        }
        self.change_tables(|tables| self.install_in(tables, sources, before, entry))
    }

    fn install_in(
        &self,
        tables: &mut Tables,
        sources: &[SourceId],
        before: Claimed,
        entry: ContextEntry,
    ) -> Result {
        for &source in sources {
            tables.prepare(&self.root, source)?;
        }
        for &source in sources {
            let wanted = match (before, entry.is_present()) {
                (Claimed::No, true) => {
                    tables.claim(source, true);
                    entry
                }
                // Nothing was its own; an alias may be a sibling's.
                (Claimed::No, false) => continue,
                // Another device may still speak with this requester ID.
                (Claimed::Yes, false) if tables.claim(source, false) > 0 => continue,
                _ => entry,
            };
            let old = tables.get(source);
            if old.words() == wanted.words() {
                continue;
            }
            self.stats.attaches.add(1);
            let cap = self.cap();
            let mut slot = Slot {
                unit: self,
                tables: &mut *tables,
                source,
            };
            replace(&mut slot, cap, source, old, wanted)?;
        }
        Ok(())
    }

    /// Makes hardware record no more faults of `sources`, whose requests are refused as before
    /// (FPD, VT-d 9.3), until the next [`Self::install`].
    ///
    /// [`ENOMEM`], [`EIO`] if the unit has failed. May sleep.
    pub(crate) fn silence(&self, sources: &[SourceId]) -> Result {
        self.change_tables(|tables| {
            for &source in sources {
                tables.prepare(&self.root, source)?;
                let entry = tables.get(source);
                if !entry.faults_unrecorded() {
                    // One bit of the word with the present bit: never a half-written entry.
                    tables.set(source, entry.without_fault_records());
                    let id = entry.is_present().then(|| entry.domain());
                    self.perform(after_recording_change(self.cap(), source, id).iter())?;
                }
            }
            Ok(())
        })
    }
}

/// A context entry of a unit whose tables are locked.
struct Slot<'a> {
    unit: &'a Unit,
    tables: &'a mut Tables,
    source: SourceId,
}

impl ContextSlot for Slot<'_> {
    type Error = Error;

    fn write(&mut self, entry: ContextEntry) {
        self.tables.set(self.source, entry)
    }

    fn perform(&mut self, steps: Steps) -> Result {
        self.unit.perform(steps.iter())
    }
}
