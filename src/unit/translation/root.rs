// SPDX-License-Identifier: GPL-2.0

//! The root table (VT-d 9.1, 9.2).
//!
//! # Invariants
//!
//! - A word of the root table is 0 or leads to a context table. It is set once, so no unit can read
//!   halves of two entries. The table that it leads to is freed with the unit only.

use super::write_entry;
use kernel::prelude::*;
use kernel_ext::pages::{Gfp, NumaNode, Pages};
use vtd_core::spec::address::{PhysAddr, SourceId};
use vtd_core::spec::registers::{root_table_address, TranslationTableMode};
use vtd_core::spec::root::{RootEntry, ROOT_ENTRIES};

/// The root table. It is separate from the context tables, so that it can be cleared in any
/// context.
pub(crate) struct RootTable {
    pages: Pages,
    mode: TranslationTableMode,
    coherent: bool,
}

impl RootTable {
    /// Allocates an empty root table near `node`. `coherent`: the unit snoops the CPU caches when
    /// it walks.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(crate) fn new(mode: TranslationTableMode, coherent: bool, node: NumaNode) -> Result<Self> {
        Ok(RootTable {
            pages: zeroed_pages(node, 0, coherent)?,
            mode,
            coherent,
        })
    }

    /// Returns the kind of context tables that it leads to.
    pub(crate) fn mode(&self) -> TranslationTableMode {
        self.mode
    }

    /// Returns its physical address.
    pub(crate) fn address(&self) -> PhysAddr {
        PhysAddr::new(self.pages.phys())
    }

    /// Returns the value of `RTADDR`.
    pub(crate) fn register_value(&self) -> Option<u64> {
        root_table_address(self.address(), self.mode)
    }

    /// Returns the root entry of a bus.
    pub(crate) fn get(&self, bus: u8) -> RootEntry {
        let at = usize::from(bus) * 2;
        RootEntry::from_words(self.pages.read(at), self.pages.read(at + 1))
    }

    /// Makes the entry for `source` lead to the context table at `table`.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if the table is not page aligned.
    pub(super) fn link(&self, source: SourceId, table: &Pages) -> Result {
        let word = RootEntry::word_for(PhysAddr::new(table.phys())).ok_or(EINVAL)?;
        let half = RootEntry::word_of(self.mode, source.devfn());
        let at = usize::from(source.bus()) * 2 + half;
        write_entry(&self.pages, at, [word], self.coherent);
        Ok(())
    }

    /// Clears every root entry, so that all requesters are blocked once the caches are invalidated.
    /// The context tables stay allocated.
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn clear(&self) {
        for bus in 0..ROOT_ENTRIES {
            write_entry(
                &self.pages,
                bus * 2,
                RootEntry::ABSENT.words(),
                self.coherent,
            );
        }
    }
}

/// Allocates `2^order` pages of zeros near `node`, and writes them back if the unit is not
/// `coherent`.
///
/// # Errors
///
/// [`ENOMEM`] if an allocation fails.
pub(super) fn zeroed_pages(node: NumaNode, order: u32, coherent: bool) -> Result<Pages> {
    let pages = Pages::new(node, order, Gfp::KERNEL)?;
    if !coherent {
        pages.flush(0, pages.len());
    }
    Ok(pages)
}
