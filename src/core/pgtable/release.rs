// SPDX-License-Identifier: GPL-2.0

//! Releases all tables of a page table.

use super::level::{Directory, TableLevel, L1};
use super::memory::{PresentEntry, TableMemory};
use super::{at_top, PageTable};
use crate::spec::level::TABLE_ENTRIES;

impl<M: TableMemory> PageTable<M> {
    /// Hands every table to `retire` once, lower tables before those that link to them, the top
    /// table last.
    ///
    /// Remaining mappings are discarded. Before the call, the caller has made sure that no context
    /// entry points to the table and that the caches are invalidated. The table must not be used
    /// afterwards. It is taken by reference because a drop handler has no more than that.
    pub fn release<R: FnMut(M::Page)>(&self, mem: &M, retire: &mut R) {
        at_top!(self, L, top => L::release(top, mem, retire));
    }
}

/// A level whose tables can be released.
pub(super) trait ReleaseLevel: TableLevel {
    /// Hands `table` and all tables below it to `retire`; entries stay as they are.
    fn release<M: TableMemory, R: FnMut(M::Page)>(table: M::Table<Self>, mem: &M, retire: &mut R);
}

impl ReleaseLevel for L1 {
    fn release<M: TableMemory, R: FnMut(M::Page)>(table: M::Table<Self>, mem: &M, retire: &mut R) {
        retire(mem.page(table));
    }
}

impl<L: Directory> ReleaseLevel for L
where
    L::Child: ReleaseLevel,
{
    fn release<M: TableMemory, R: FnMut(M::Page)>(table: M::Table<Self>, mem: &M, retire: &mut R) {
        for index in 0..TABLE_ENTRIES {
            if let Some(PresentEntry::Table(child)) = mem.load_entry(table, index) {
                L::Child::release(child, mem, retire);
            }
        }
        retire(mem.page(table));
    }
}
