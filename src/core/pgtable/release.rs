// SPDX-License-Identifier: GPL-2.0

//! Giving back a tree of tables.

use super::level::{Directory, TableLevel, L1};
use super::memory::{PresentEntry, TableMemory};
use super::{at_top, SecondStage};
use crate::spec::level::TABLE_ENTRIES;

impl<M: TableMemory> SecondStage<M> {
    /// Hands every table to `retire`, once, those below before those above, the top last.
    ///
    /// What is still mapped is forgotten. The caller has taken the table away from hardware:
    /// no context entry points to it, and the caches are invalidated. It is of no use
    /// afterwards; taken by reference, because a drop handler has no more than that.
    pub fn release<R: FnMut(M::Page)>(&self, mem: &M, retire: &mut R) {
        at_top!(self, L, top => L::release(top, mem, retire));
    }
}

/// A level whose tables can be given back.
pub(super) trait ReleaseLevel: TableLevel {
    /// Hands `table` and all tables below to `retire`; entries stay as they are.
    fn release<M: TableMemory, R: FnMut(M::Page)>(table: M::Table<Self>, mem: &M, retire: &mut R);

    /// The first leaf in or below `table`: its distance from the table's first address in
    /// bytes. `None` if nothing is mapped there.
    fn first_leaf<M: TableMemory>(table: M::Table<Self>, mem: &M) -> Option<u64>;
}

impl ReleaseLevel for L1 {
    fn release<M: TableMemory, R: FnMut(M::Page)>(table: M::Table<Self>, mem: &M, retire: &mut R) {
        retire(mem.page(table));
    }

    fn first_leaf<M: TableMemory>(table: M::Table<Self>, mem: &M) -> Option<u64> {
        (0..TABLE_ENTRIES)
            .find(|&index| mem.leaf(table, index).is_some())
            .map(|index| (index as u64) << Self::SHIFT)
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

    fn first_leaf<M: TableMemory>(table: M::Table<Self>, mem: &M) -> Option<u64> {
        (0..TABLE_ENTRIES).find_map(|index| {
            let below = match mem.load_entry(table, index)? {
                PresentEntry::Leaf(_) => 0,
                PresentEntry::Table(child) => L::Child::first_leaf(child, mem)?,
            };
            Some(((index as u64) << Self::SHIFT) | below)
        })
    }
}
