// SPDX-License-Identifier: GPL-2.0

//! The memory of the interrupt remapping table.

use kernel::prelude::*;
use kernel_ext::pages::{Gfp, NumaNode, Pages, PAGE_SIZE};
use vtd_core::concurrent::interrupts::{self, TableMemory};
use vtd_core::spec::interrupt::ENTRY_BYTES;

/// The table of one unit.
pub(super) type InterruptTable = interrupts::InterruptTable<TablePages>;

/// The pages of a table.
pub(super) struct TablePages {
    pages: Pages,
    /// Whether hardware snoops when it reads the table.
    coherent: bool,
}

impl TableMemory for TablePages {
    const PER_PAGE: usize = PAGE_SIZE / ENTRY_BYTES;

    fn phys(&self) -> u64 {
        self.pages.phys()
    }

    fn read(&self, word: usize) -> u64 {
        self.pages.read(word)
    }

    fn write(&self, word: usize, value: u64) {
        self.pages.write(word, value)
    }

    fn flush(&self, first: usize, count: usize) {
        if !self.coherent {
            self.pages.flush(first, count)
        }
    }
}

/// Allocates a table of 2^`order` pages near `node`; all entries are absent.
///
/// # Errors
///
/// [`ENOMEM`] if an allocation fails.
pub(super) fn new_table(order: u32, node: NumaNode, coherent: bool) -> Result<InterruptTable> {
    let pages = Pages::new(node, order, Gfp::KERNEL)?;
    Ok(InterruptTable::new(TablePages { pages, coherent }, order))
}
