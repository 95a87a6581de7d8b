// SPDX-License-Identifier: GPL-2.0

//! Counting tables and large pages, without a look at the smallest leaves.

use super::level::{Directory, TableLevel, L1};
use super::memory::{Occupied, TableMemory};
use super::{at_top, SecondStage};
use crate::spec::level::{Level, TABLE_ENTRIES};
use core::ops::ControlFlow;

/// What was counted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Tables, the top one included.
    pub tables: u64,
    /// Leaves of 2 MiB.
    pub leaves_2m: u64,
    /// Leaves of 1 GiB.
    pub leaves_1g: u64,
}

/// Where a part of a census left off: before the table of this level that serves this address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CensusRest {
    base: u64,
    level: u8,
}

impl CensusRest {
    /// All is to be counted.
    pub const ALL: Self = Self { base: 0, level: 6 };

    /// Whether the table of `level` that serves `base` and above was not counted before.
    fn has(&self, base: u64, level: Level) -> bool {
        base > self.base || (base == self.base && level.number() <= self.level)
    }
}

impl<M: TableMemory> SecondStage<M> {
    /// Counts on where a census left off, and enters no more than `tables` directories (at least
    /// 4 are needed to get on). Returns what is left, unless nothing is.
    ///
    /// Context: no table may be freed meanwhile. What comes or goes meanwhile is counted or not.
    pub fn census(
        &self,
        mem: &M,
        rest: CensusRest,
        tables: u32,
        census: &mut Census,
    ) -> Option<CensusRest> {
        let mut walk = Walk {
            mem,
            from: rest,
            tables,
            census,
        };
        at_top!(self, L, top => {
            if walk.from.has(0, L::LEVEL) {
                walk.census.tables += 1;
            }
            L::census(top, 0, &mut walk)
        })
        .break_value()
    }
}

/// A census on its way.
struct Walk<'a, M: TableMemory> {
    mem: &'a M,
    from: CensusRest,
    /// How many directories may still be entered.
    tables: u32,
    census: &'a mut Census,
}

/// A level that a census can be at.
trait CensusLevel: TableLevel {
    /// `base`: the first address that `table` serves.
    fn census<M: TableMemory>(
        table: M::Table<Self>,
        base: u64,
        walk: &mut Walk<'_, M>,
    ) -> ControlFlow<CensusRest>;
}

impl CensusLevel for L1 {
    fn census<M: TableMemory>(
        _: M::Table<Self>,
        _: u64,
        _: &mut Walk<'_, M>,
    ) -> ControlFlow<CensusRest> {
        ControlFlow::Continue(())
    }
}

impl<L: Directory> CensusLevel for L
where
    L::Child: CensusLevel,
{
    fn census<M: TableMemory>(
        table: M::Table<Self>,
        base: u64,
        walk: &mut Walk<'_, M>,
    ) -> ControlFlow<CensusRest> {
        let first = if walk.from.base > base {
            L::index(walk.from.base)
        } else {
            0
        };
        let child_level = L::Child::LEVEL;
        for index in first..TABLE_ENTRIES {
            let at = base | ((index as u64) << Self::SHIFT);
            match walk.mem.slot(table, index) {
                None => {}
                Some(Occupied::Leaf(_)) if L::LEVEL == Level::L2 => walk.census.leaves_2m += 1,
                Some(Occupied::Leaf(_)) => walk.census.leaves_1g += 1,
                Some(Occupied::Table(child)) => {
                    if child_level != Level::L1 {
                        let Some(left) = walk.tables.checked_sub(1) else {
                            return ControlFlow::Break(CensusRest {
                                base: at,
                                level: child_level.number(),
                            });
                        };
                        walk.tables = left;
                    }
                    if walk.from.has(at, child_level) {
                        walk.census.tables += 1;
                    }
                    L::Child::census(child, at, walk)?;
                }
            }
        }
        ControlFlow::Continue(())
    }
}
