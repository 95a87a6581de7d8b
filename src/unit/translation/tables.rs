// SPDX-License-Identifier: GPL-2.0

//! The tables of one unit, from the root table down to the entries of its requesters.

use super::legacy::ContextTables;
use super::root::RootTable;
use super::scalable::ScalableTables;
use crate::unit::present_word::PresentWord;
use kernel::prelude::*;
use kernel_ext::pages::NumaNode;
use vtd_core::install::RequesterEntry;
use vtd_core::spec::address::SourceId;
use vtd_core::spec::context_lookup::LookupEntries;
use vtd_core::spec::registers::TranslationTableMode;

/// The context tables of one unit, and in scalable mode the PASID tables behind them.
pub(crate) enum RequesterTables {
    /// Legacy mode.
    Legacy(ContextTables),
    /// Scalable mode.
    Scalable(ScalableTables),
}

impl RequesterTables {
    /// Creates the set without tables: every requester is blocked. `coherent`: the unit snoops the
    /// CPU caches when it walks.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(super) fn new(mode: TranslationTableMode, coherent: bool, node: NumaNode) -> Result<Self> {
        Ok(match mode {
            TranslationTableMode::Legacy => {
                RequesterTables::Legacy(ContextTables::new(coherent, node)?)
            }
            TranslationTableMode::Scalable => {
                RequesterTables::Scalable(ScalableTables::new(coherent, node)?)
            }
        })
    }

    /// Allocates what [`Self::set`] needs for `source`, unless it exists.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(super) fn prepare(&mut self, root: &RootTable, source: SourceId) -> Result {
        match self {
            RequesterTables::Legacy(tables) => tables.prepare(root, source),
            RequesterTables::Scalable(tables) => tables.prepare(root, source),
        }
    }

    /// Allocates what [`Self::set`] needs to block any requester of `bus`, unless it exists: two
    /// pages at most.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(super) fn prepare_blocked(&mut self, root: &RootTable, bus: u8) -> Result {
        let source = |devfn| SourceId::from_bus_devfn(bus, devfn);
        match self {
            RequesterTables::Legacy(tables) => tables.prepare(root, source(0)),
            RequesterTables::Scalable(tables) => {
                tables.prepare_context(root, source(0))?;
                tables.prepare_context(root, source(u8::MAX))
            }
        }
    }

    /// Returns the entry of `source`.
    pub(crate) fn get(&self, source: SourceId) -> RequesterEntry {
        self.lookup(source).into()
    }

    /// Returns the entries of `source` as the unit reads them.
    pub(crate) fn lookup(&self, source: SourceId) -> LookupEntries {
        match self {
            RequesterTables::Legacy(tables) => LookupEntries::Legacy(tables.get(source)),
            RequesterTables::Scalable(tables) => tables.lookup(source),
        }
    }

    /// Writes the entry of `source`, which was [prepared](Self::prepare), and is of the mode of the
    /// unit.
    pub(super) fn set(&mut self, source: SourceId, entry: RequesterEntry) {
        match (self, entry) {
            (RequesterTables::Legacy(tables), RequesterEntry::Legacy(entry)) => {
                tables.set(source, entry)
            }
            (RequesterTables::Scalable(tables), entry) => tables.set(source, entry),
            (RequesterTables::Legacy(_), RequesterEntry::Scalable { .. }) => {}
        }
    }

    /// Returns the word with the present bit of `source`'s context entry, if its context table was
    /// [prepared](Self::prepare).
    pub(in crate::unit) fn present_word(&self, source: SourceId) -> Option<PresentWord> {
        match self {
            RequesterTables::Legacy(tables) => tables.present_word(source),
            RequesterTables::Scalable(tables) => tables.present_word(source),
        }
    }

    /// Returns the first bus from `from` on that has a context table.
    pub(crate) fn next_bus(&self, from: u8) -> Option<u8> {
        (from..=u8::MAX).find(|&bus| match self {
            RequesterTables::Legacy(tables) => tables.has_bus(bus),
            RequesterTables::Scalable(tables) => tables.has_bus(bus),
        })
    }
}
