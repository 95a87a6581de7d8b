// SPDX-License-Identifier: GPL-2.0

//! Root table and context tables in legacy mode (VT-d 3.4, 9.1, 9.3).
//!
//! # Invariants
//!
//! - A root entry is absent or points to the context table in `buses` at its index. It is set
//!   present once, and its upper word is always 0, so no unit can read halves of two entries. The
//!   table that it points to is freed with the unit only. Context entries differ in both words, and
//!   are changed as [`vtd_core::install`] describes.
//! - A context entry is present only while a device uses its requester ID. All other
//!   requesters are blocked.

use kernel::prelude::*;
use kernel_ext::pages::{Gfp, NumaNode, Pages};
use vtd_core::install::entry_stores;
use vtd_core::spec::address::{PhysAddr, SourceId};
use vtd_core::spec::context::ContextEntry;
use vtd_core::spec::root::{RootEntry, ROOT_ENTRIES};

/// Writes a 128-bit entry so that hardware never sees half of it as present.
fn write_entry(pages: &Pages, index: usize, words: [u64; 2], coherent: bool) {
    for (word, value) in entry_stores(words) {
        pages.write(index * 2 + word, value);
    }
    if !coherent {
        pages.flush(index * 2, 2);
    }
}

/// The root table. It is separate from the context tables, so that it can be cleared in any
/// context.
pub(crate) struct RootTable {
    pages: Pages,
    coherent: bool,
}

impl RootTable {
    /// Allocates an empty root table near `node`. `coherent`: the unit snoops the CPU caches when
    /// it walks.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(crate) fn new(coherent: bool, node: NumaNode) -> Result<Self> {
        let pages = Pages::new(node, 0, Gfp::KERNEL)?;
        if !coherent {
            pages.flush(0, pages.len());
        }
        Ok(RootTable { pages, coherent })
    }

    /// Returns its physical address.
    pub(crate) fn address(&self) -> PhysAddr {
        PhysAddr::new(self.pages.phys())
    }

    /// Returns the root entry of a bus.
    pub(crate) fn get(&self, bus: u8) -> RootEntry {
        let at = usize::from(bus) * 2;
        RootEntry::from_words(self.pages.read(at), self.pages.read(at + 1))
    }

    fn set(&self, bus: usize, entry: RootEntry) {
        write_entry(&self.pages, bus, entry.words(), self.coherent);
    }

    /// Clears every root entry, so that all requesters are blocked once the caches are invalidated.
    /// The context tables stay allocated.
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn clear(&self) {
        for bus in 0..ROOT_ENTRIES {
            self.set(bus, RootEntry::ABSENT);
        }
    }
}

/// The context tables of one unit.
pub(crate) struct ContextTables {
    buses: KBox<[Option<Pages>; ROOT_ENTRIES]>,
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
    pub(crate) fn new(coherent: bool, node: NumaNode) -> Result<Self> {
        let none = pin_init::init_array_from_fn(|_| Ok::<_, Error>(None));
        Ok(ContextTables {
            buses: KBox::init(none, GFP_KERNEL)?,
            coherent,
            node,
        })
    }

    fn bus(&self, source: SourceId) -> Option<&Pages> {
        self.buses.get(usize::from(source.bus()))?.as_ref()
    }

    /// Allocates the context table of `source`'s bus, unless it exists, and links it in `root`.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(crate) fn prepare(&mut self, root: &RootTable, source: SourceId) -> Result {
        let bus = usize::from(source.bus());
        let slot = self.buses.get_mut(bus).ok_or(EINVAL)?;
        if slot.is_none() {
            let entries = Pages::new(self.node, 0, Gfp::KERNEL)?;
            if !self.coherent {
                entries.flush(0, entries.len());
            }
            let entry = RootEntry::new(PhysAddr::new(entries.phys())).ok_or(EINVAL)?;
            *slot = Some(entries);
            root.set(bus, entry);
        }
        Ok(())
    }

    /// Returns the context entry of `source`.
    pub(crate) fn get(&self, source: SourceId) -> ContextEntry {
        let at = usize::from(source.devfn()) * 2;
        self.bus(source).map_or(ContextEntry::ABSENT, |entries| {
            ContextEntry::from_words(entries.read(at), entries.read(at + 1))
        })
    }

    /// Writes the context entry of `source`, whose bus was [prepared](Self::prepare).
    pub(crate) fn set(&mut self, source: SourceId, entry: ContextEntry) {
        if let Some(entries) = self.bus(source) {
            let at = usize::from(source.devfn());
            write_entry(entries, at, entry.words(), self.coherent);
        }
    }

    /// Returns the first bus from `from` on that has a context table.
    pub(crate) fn next_bus(&self, from: u8) -> Option<u8> {
        (from..=u8::MAX).find(|bus| matches!(self.buses.get(usize::from(*bus)), Some(Some(_))))
    }
}
