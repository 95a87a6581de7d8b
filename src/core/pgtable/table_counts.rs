// SPDX-License-Identifier: GPL-2.0

//! Counting tables and large pages, without a look at the smallest leaves.

use super::level::{Directory, TableLevel, L1};
use super::memory::{PresentEntry, TableMemory};
use super::{at_top, SecondStage};
use crate::spec::level::{Level, TABLE_ENTRIES};
use core::ops::ControlFlow;

/// What was counted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableCounts {
    /// Tables, the top one included.
    pub tables: u64,
    /// Leaves of 2 MiB.
    pub leaves_2m: u64,
    /// Leaves of 1 GiB.
    pub leaves_1g: u64,
}

/// Where a part of a census left off: before the table of this level that serves this address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountCursor {
    base: u64,
    level: u8,
}

impl CountCursor {
    /// All is to be counted.
    pub const ALL: Self = Self { base: 0, level: 6 };

    /// Whether the table of `level` that serves `base` and above was not counted before.
    fn is_left(&self, base: u64, level: Level) -> bool {
        base > self.base || (base == self.base && level.number() <= self.level)
    }
}

impl<M: TableMemory> SecondStage<M> {
    /// Counts on where a census left off, and enters no more than `tables` directories (at least
    /// 4 are needed to get on). Returns what is left, unless nothing is.
    ///
    /// Context: no table may be freed meanwhile. What comes or goes meanwhile is counted or not.
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

/// A census on its way.
struct CountWalk<'a, M: TableMemory> {
    mem: &'a M,
    from: CountCursor,
    /// How many directories may still be entered.
    tables: u32,
    counts: &'a mut TableCounts,
}

/// A level that a census can be at.
trait CountLevel: TableLevel {
    /// `base`: the first address that `table` serves.
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
