// SPDX-License-Identifier: GPL-2.0

//! Counts tables and large pages without reading level-1 tables.

use super::level::{Directory, TableLevel, L1};
use super::memory::{PresentEntry, TableMemory};
use super::{at_top, SecondStage};
use crate::spec::level::{Level, TABLE_ENTRIES};
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

impl<M: TableMemory> SecondStage<M> {
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
        let mut walk = CountWalk {
            mem,
            from: rest,
            tables,
            counts,
        };
        at_top!(self, L, top => {
            if walk.from.is_left(0, L::LEVEL) {
                walk.counts.tables += 1;
            }
            L::count_tables(top, 0, &mut walk)
        })
        .break_value()
    }
}

/// The state of a count in progress.
struct CountWalk<'a, M: TableMemory> {
    mem: &'a M,
    from: CountCursor,
    /// The number of directories that may still be entered.
    tables: u32,
    counts: &'a mut TableCounts,
}

/// A level at which a count can be.
trait CountLevel: TableLevel {
    /// Counts the tables below `table`, whose first address is `base`.
    fn count_tables<M: TableMemory>(
        table: M::Table<Self>,
        base: u64,
        walk: &mut CountWalk<'_, M>,
    ) -> ControlFlow<CountCursor>;
}

impl CountLevel for L1 {
    fn count_tables<M: TableMemory>(
        _: M::Table<Self>,
        _: u64,
        _: &mut CountWalk<'_, M>,
    ) -> ControlFlow<CountCursor> {
        ControlFlow::Continue(())
    }
}

impl<L: Directory> CountLevel for L
where
    L::Child: CountLevel,
{
    fn count_tables<M: TableMemory>(
        table: M::Table<Self>,
        base: u64,
        walk: &mut CountWalk<'_, M>,
    ) -> ControlFlow<CountCursor> {
        let first = if walk.from.base > base {
            L::index(walk.from.base)
        } else {
            0
        };
        let child_level = L::Child::LEVEL;
        for index in first..TABLE_ENTRIES {
            let at = base | ((index as u64) << Self::SHIFT);
            match walk.mem.load_entry(table, index) {
                None => {}
                Some(PresentEntry::Leaf(_)) if L::LEVEL == Level::L2 => walk.counts.leaves_2m += 1,
                Some(PresentEntry::Leaf(_)) => walk.counts.leaves_1g += 1,
                Some(PresentEntry::Table(child)) => {
                    if child_level != Level::L1 {
                        let Some(left) = walk.tables.checked_sub(1) else {
                            return ControlFlow::Break(CountCursor {
                                base: at,
                                level: child_level.number(),
                            });
                        };
                        walk.tables = left;
                    }
                    if walk.from.is_left(at, child_level) {
                        walk.counts.tables += 1;
                    }
                    L::Child::count_tables(child, at, walk)?;
                }
            }
        }
        ControlFlow::Continue(())
    }
}
