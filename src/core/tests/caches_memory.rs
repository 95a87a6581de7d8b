// SPDX-License-Identifier: GPL-2.0

//! Table memory that lets the units read everything again after every store.

use crate::caches_bugs::Bug;
use crate::caches_hardware::Hardware;
use crate::pgtable_arena::{Arena, PageId};
use vtd_core::pgtable::{
    Directory, OutOfMemory, PresentEntry, SecondStage, TableLevel, TableMemory,
};

impl TableMemory for Hardware {
    type Format = SecondStage;
    type Table<L: TableLevel> = <Arena as TableMemory>::Table<L>;
    type Page = PageId;

    fn page<L: TableLevel>(&self, table: Self::Table<L>) -> PageId {
        self.arena.page(table)
    }

    fn alloc<L: TableLevel>(&self) -> Result<Self::Table<L>, OutOfMemory> {
        self.arena.alloc()
    }

    fn discard<L: TableLevel>(&self, table: Self::Table<L>) {
        self.arena.discard(table)
    }

    fn load_entry<L: Directory>(
        &self,
        table: Self::Table<L>,
        index: usize,
    ) -> Option<PresentEntry<Self::Table<L::Child>>> {
        self.arena.load_entry(table, index)
    }

    fn raw<L: TableLevel>(&self, table: Self::Table<L>, index: usize) -> u64 {
        self.arena.raw(table, index)
    }

    fn fill<L: TableLevel>(&self, t: Self::Table<L>, first: usize, n: usize, entry: u64) -> usize {
        let done = self.arena.fill(t, first, n, entry);
        self.stored();
        done
    }

    fn clear<L: TableLevel>(&self, t: Self::Table<L>, first: usize, count: usize) -> usize {
        self.cleared.set(true);
        self.arena.clear(t, first, count)
    }

    fn link<L: Directory>(
        &self,
        table: Self::Table<L>,
        index: usize,
        child: Self::Table<L::Child>,
    ) -> Result<(), PresentEntry<Self::Table<L::Child>>> {
        let linked = self.arena.link(table, index, child);
        self.stored();
        self.fill_caches();
        linked
    }

    fn unlink<L: Directory>(&self, table: Self::Table<L>, index: usize) {
        self.cleared.set(true);
        self.arena.unlink(table, index)
    }

    fn flush<L: TableLevel>(&self, table: Self::Table<L>, first: usize, count: usize) {
        // A part may have been written back earlier, by chance. Then all of it is written back.
        let left_out = self.has(Bug::WriteBackLeftOut)
            || (self.deferred.get() && self.has(Bug::HeldBeforeWrittenBack));
        if self.cleared.take() && left_out {
            return;
        }
        self.arena.flush(table, first, count / 2);
        self.fill_caches();
        self.arena.flush(table, first, count);
        self.fill_caches();
    }
}

impl Hardware {
    fn stored(&self) {
        for unit in &self.units {
            let mut unit = unit.borrow_mut();
            unit.buffered |= unit.cap.needs_write_buffer_flush();
        }
    }
}
