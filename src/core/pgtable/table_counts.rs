// SPDX-License-Identifier: GPL-2.0

//! Counts tables and large pages without reading level-1 tables.

use super::level::{Directory, TableLevel};
use super::memory::TableMemory;
use super::walk::{EntryAt, Visitor, WalkLevel};
use super::{at_top, PageTable};
use crate::spec::level::Level;
use core::ops::ControlFlow;

/// The counts of tables and large pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableCounts {
    /// The number of tables, including the top one.
    pub tables: u64,
    /// The number of leaves of 2 MiB.
    pub leaves_2m: u64,
    /// The number of leaves of 1 GiB.
    pub leaves_1g: u64,
}

/// The position where a partial count stopped: before the table of this level that serves this
/// address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountCursor {
    base: u64,
    level: u8,
}

impl CountCursor {
    /// The start: nothing is counted yet.
    pub const ALL: Self = Self { base: 0, level: 6 };

    /// Returns whether the table of `level` that starts at `base` is still to be counted.
    fn is_left(&self, base: u64, level: Level) -> bool {
        base > self.base || (base == self.base && level.number() <= self.level)
    }
}

impl<M: TableMemory> PageTable<M> {
    /// Continues a count at `rest` and enters at most `tables` directories; fewer than 4 may make
    /// no progress. Returns the position at which to continue, or `None` if the count is complete.
    ///
    /// # Context
    ///
    /// No table may be freed during the call. Entries that change concurrently may be counted or
    /// not.
    pub fn count_tables(
        &self,
        mem: &M,
        rest: CountCursor,
        tables: u32,
        counts: &mut TableCounts,
    ) -> Option<CountCursor> {
        let mut count = Count {
            from: rest,
            tables,
            counts,
        };
        at_top!(self, L, top => {
            if rest.is_left(0, L::LEVEL) {
                count.counts.tables += 1;
            }
            L::walk(top, mem, 0, rest.base, &mut count)
        })
        .break_value()
    }
}

/// The state of a count in progress.
struct Count<'a> {
    from: CountCursor,
    /// The number of directories that may still be entered.
    tables: u32,
    counts: &'a mut TableCounts,
}

impl<M: TableMemory> Visitor<M> for Count<'_> {
    const ONE_ADDRESS: bool = false;

    type Break = CountCursor;

    fn leaf<L: TableLevel>(&mut self, _: EntryAt<M::Table<L>>, _: u64) -> ControlFlow<CountCursor> {
        match L::LEVEL {
            Level::L1 => {}
            Level::L2 => self.counts.leaves_2m += 1,
            Level::L3 | Level::L4 | Level::L5 => self.counts.leaves_1g += 1,
        }
        ControlFlow::Continue(())
    }

    fn link<L: Directory>(&mut self, at: EntryAt<M::Table<L>>) -> ControlFlow<CountCursor, bool> {
        let level = L::Child::LEVEL;
        let is_directory = level != Level::L1;
        if is_directory {
            let Some(tables) = self.tables.checked_sub(1) else {
                return ControlFlow::Break(CountCursor {
                    base: at.iova,
                    level: level.number(),
                });
            };
            self.tables = tables;
        }
        if self.from.is_left(at.iova, level) {
            self.counts.tables += 1;
        }
        ControlFlow::Continue(is_directory)
    }
}
