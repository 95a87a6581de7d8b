// SPDX-License-Identifier: GPL-2.0

//! The interrupt remapping table in memory.

use kernel::prelude::*;
use kernel_ext::pages::{Gfp, NumaNode, Pages};
use vtd_core::spec::address::PhysAddr;
use vtd_core::spec::interrupt::{table_address, ApicMode, InterruptEntry, ENTRY_BYTES};

/// The number of entries in one page.
const PER_PAGE: usize = kernel_ext::pages::PAGE_SIZE / ENTRY_BYTES;

/// The table of one unit.
///
/// # Invariants
///
/// The upper half of an entry, which says who may use it, is only written while the entry is
/// absent and no unit has it cached. An entry becomes present, changes and becomes absent by one
/// store of its lower half.
pub(super) struct InterruptTable {
    pages: Pages,
    /// The table has 2^order pages.
    pub(super) order: u32,
    /// Whether hardware snoops when it reads the table.
    coherent: bool,
    /// How destinations are encoded.
    pub(super) mode: ApicMode,
    /// Whether the unit has failed: no entry may become present.
    blocked: bool,
}

impl InterruptTable {
    /// Allocates a table of 2^`order` pages near `node`; all entries are absent.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(super) fn new(order: u32, node: NumaNode, coherent: bool) -> Result<Self> {
        let table = InterruptTable {
            pages: Pages::new(node, order, Gfp::KERNEL)?,
            order,
            coherent,
            mode: ApicMode::XApic,
            blocked: false,
        };
        table.flush(0, table.len());
        Ok(table)
    }

    /// Returns the number of entries.
    pub(super) fn len(&self) -> usize {
        PER_PAGE << self.order
    }

    /// Returns the value of IRTA for this table.
    pub(super) fn address(&self) -> Option<u64> {
        table_address(PhysAddr::new(self.pages.phys()), self.order, self.mode)
    }

    /// Returns the physical address.
    pub(super) fn phys(&self) -> u64 {
        self.pages.phys()
    }

    /// Returns an entry.
    pub(super) fn get(&self, index: usize) -> InterruptEntry {
        InterruptEntry {
            low: self.pages.read(index * 2),
            high: self.pages.read(index * 2 + 1),
        }
    }

    /// Writes the lower half of an entry; 0 makes it absent. Does nothing if the unit has failed.
    pub(super) fn set_low(&self, index: usize, low: u64) {
        if !self.blocked {
            self.pages.write(index * 2, low);
            self.flush(index, 1);
        }
    }

    /// Writes the upper half of an entry that is absent and not cached.
    pub(super) fn set_high(&self, index: usize, high: u64) {
        self.pages.write(index * 2 + 1, high);
        self.flush(index, 1);
    }

    /// Makes `larger` give the same results as this table.
    pub(super) fn copy_to(&self, larger: &mut Self) {
        larger.mode = self.mode;
        larger.blocked = self.blocked;
        for index in 0..self.len() {
            let entry = self.get(index);
            larger.pages.write(index * 2 + 1, entry.high);
            larger.pages.write(index * 2, entry.low);
        }
        larger.flush(0, self.len());
    }

    /// Makes all entries absent for good.
    pub(super) fn block(&mut self) {
        self.blocked = true;
        for index in 0..self.len() {
            self.pages.write(index * 2, InterruptEntry::ABSENT.low);
        }
        self.flush(0, self.len());
    }

    fn flush(&self, first: usize, count: usize) {
        if !self.coherent {
            self.pages.flush(first * 2, count * 2);
        }
    }
}
