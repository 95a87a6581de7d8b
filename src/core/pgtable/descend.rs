// SPDX-License-Identifier: GPL-2.0

//! The straight way to a page table: the first step of the usual, small request.

use super::level::{Directory, TableLevel, L1};
use super::memory::{Occupied, TableMemory};

/// A level from which a walk can go straight down.
pub(super) trait PageTable: TableLevel {
    /// The table of level 1 that serves `iova`, or `None` if a large page or nothing does.
    fn page_table<M: TableMemory>(
        table: M::Table<Self>,
        mem: &M,
        iova: u64,
    ) -> Option<M::Table<L1>>;
}

impl PageTable for L1 {
    #[inline(always)]
    fn page_table<M: TableMemory>(table: M::Table<Self>, _: &M, _: u64) -> Option<M::Table<L1>> {
        Some(table)
    }
}

impl<L: Directory> PageTable for L
where
    L::Child: PageTable,
{
    #[inline(always)]
    fn page_table<M: TableMemory>(
        table: M::Table<Self>,
        mem: &M,
        iova: u64,
    ) -> Option<M::Table<L1>> {
        match mem.slot(table, Self::index(iova)) {
            Some(Occupied::Table(child)) => L::Child::page_table(child, mem, iova),
            _ => None,
        }
    }
}
