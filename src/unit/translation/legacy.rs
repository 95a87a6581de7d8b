// SPDX-License-Identifier: GPL-2.0

//! Context tables in legacy mode (VT-d 3.4.2, 9.3).
//!
//! # Invariants
//!
//! - A context entry is present only while a device uses its requester ID. All other requesters are
//!   blocked.

use super::root::{zeroed_pages, RootTable};
use super::write_entry;
use crate::unit::present_word::PresentWord;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel_ext::pages::{NumaNode, Pages};
use vtd_core::spec::address::SourceId;
use vtd_core::spec::context::ContextEntry;
use vtd_core::spec::root::ROOT_ENTRIES;

/// The context tables of one unit.
pub(crate) struct ContextTables {
    buses: KBox<[Option<Arc<Pages>>; ROOT_ENTRIES]>,
    coherent: bool,
    node: NumaNode,
}

impl ContextTables {
    /// Creates the set without tables: every requester is blocked. `coherent`: the unit snoops the
    /// CPU caches when it walks.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(super) fn new(coherent: bool, node: NumaNode) -> Result<Self> {
        let none = pin_init::init_array_from_fn(|_| Ok::<_, Error>(None));
        Ok(ContextTables {
            buses: KBox::init(none, GFP_KERNEL)?,
            coherent,
            node,
        })
    }

    fn bus(&self, bus: u8) -> Option<&Arc<Pages>> {
        self.buses.get(usize::from(bus))?.as_ref()
    }

    /// Returns whether the bus has a context table.
    pub(super) fn has_bus(&self, bus: u8) -> bool {
        self.bus(bus).is_some()
    }

    /// Allocates the context table of `source`'s bus, unless it exists, and links it in `root`.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(super) fn prepare(&mut self, root: &RootTable, source: SourceId) -> Result {
        let bus = usize::from(source.bus());
        let slot = self.buses.get_mut(bus).ok_or(EINVAL)?;
        if slot.is_none() {
            let pages = Arc::new(zeroed_pages(self.node, 0, self.coherent)?, GFP_KERNEL)?;
            root.link(source, slot.insert(pages))?;
        }
        Ok(())
    }

    /// Returns the word with the present bit of `source`'s entry, if its bus was
    /// [prepared](Self::prepare).
    pub(super) fn present_word(&self, source: SourceId) -> Option<PresentWord> {
        let at = usize::from(source.devfn()) * 2;
        let pages = self.bus(source.bus())?.clone();
        Some(PresentWord::new(pages, at, self.coherent))
    }

    /// Returns the context entry of `source`.
    pub(super) fn get(&self, source: SourceId) -> ContextEntry {
        let at = usize::from(source.devfn()) * 2;
        self.bus(source.bus())
            .map_or(ContextEntry::ABSENT, |entries| {
                ContextEntry::from_words(entries.read(at), entries.read(at + 1))
            })
    }

    /// Writes the context entry of `source`, whose bus was [prepared](Self::prepare).
    pub(super) fn set(&mut self, source: SourceId, entry: ContextEntry) {
        if let Some(entries) = self.bus(source.bus()) {
            let at = usize::from(source.devfn()) * 2;
            write_entry(entries, at, entry.words(), self.coherent);
        }
    }
}
