// SPDX-License-Identifier: GPL-2.0

//! The walk of everything that only reads a table: one address, or all addresses from one on.
//!
//! A [`Visitor`] sees each entry, in the order of addresses, and decides where the walk continues
//! and where it ends.

use super::level::{Directory, TableLevel, L1};
use super::memory::{PresentEntry, TableMemory};
use crate::spec::level::TABLE_ENTRIES;
use core::ops::ControlFlow;

/// An entry at which a walk is.
#[derive(Clone, Copy)]
pub(super) struct EntryAt<T> {
    /// The table that holds the entry.
    pub(super) table: T,
    /// Its index in the table.
    pub(super) index: usize,
    /// The first address that it serves.
    pub(super) iova: u64,
}

/// A use of a walk.
pub(super) trait Visitor<M: TableMemory> {
    /// Whether the walk is of one address, rather than of all from one on.
    const ONE_ADDRESS: bool;

    /// The reason why a walk ended early.
    type Break;

    /// Sees an entry that is 0.
    #[inline(always)]
    fn absent<L: TableLevel>(&mut self, _at: EntryAt<M::Table<L>>) -> ControlFlow<Self::Break> {
        ControlFlow::Continue(())
    }

    /// Sees a leaf.
    fn leaf<L: TableLevel>(
        &mut self,
        at: EntryAt<M::Table<L>>,
        entry: u64,
    ) -> ControlFlow<Self::Break>;

    /// Sees a link, and returns whether the walk goes into the table below.
    fn link<L: Directory>(&mut self, at: EntryAt<M::Table<L>>) -> ControlFlow<Self::Break, bool>;

    /// Is called when the walk has left the table below an entry of level `L`.
    #[inline(always)]
    fn left<L: Directory>(&mut self) {}
}

/// A level at which a walk can be.
pub(super) trait WalkLevel: TableLevel {
    /// Walks `table`, whose first address is `base`, and what is below it: the entries that serve
    /// `from`, and those above unless the walk is of one address.
    fn walk<M: TableMemory, V: Visitor<M>>(
        table: M::Table<Self>,
        mem: &M,
        base: u64,
        from: u64,
        visitor: &mut V,
    ) -> ControlFlow<V::Break>;
}

/// Calls `visit` with the entries of `table` that the walk reads.
#[inline(always)]
fn each_entry<L: TableLevel, M: TableMemory, V: Visitor<M>>(
    table: M::Table<L>,
    base: u64,
    from: u64,
    mut visit: impl FnMut(EntryAt<M::Table<L>>) -> ControlFlow<V::Break>,
) -> ControlFlow<V::Break> {
    let mut at = |index: usize| {
        visit(EntryAt {
            table,
            index,
            iova: base | ((index as u64) << L::SHIFT),
        })
    };
    if V::ONE_ADDRESS {
        return at(L::index(from));
    }
    let first = if from > base { L::index(from) } else { 0 };
    (first..TABLE_ENTRIES).try_for_each(at)
}

impl WalkLevel for L1 {
    #[inline(always)]
    fn walk<M: TableMemory, V: Visitor<M>>(
        table: M::Table<Self>,
        mem: &M,
        base: u64,
        from: u64,
        visitor: &mut V,
    ) -> ControlFlow<V::Break> {
        each_entry::<Self, M, V>(table, base, from, |at| match mem.leaf(table, at.index) {
            None => visitor.absent::<Self>(at),
            Some(entry) => visitor.leaf::<Self>(at, entry),
        })
    }
}

impl<L: Directory> WalkLevel for L
where
    L::Child: WalkLevel,
{
    #[inline(always)]
    fn walk<M: TableMemory, V: Visitor<M>>(
        table: M::Table<Self>,
        mem: &M,
        base: u64,
        from: u64,
        visitor: &mut V,
    ) -> ControlFlow<V::Break> {
        each_entry::<Self, M, V>(table, base, from, |at| {
            match mem.load_entry(table, at.index) {
                None => visitor.absent::<Self>(at),
                Some(PresentEntry::Leaf(entry)) => visitor.leaf::<Self>(at, entry),
                Some(PresentEntry::Table(child)) => {
                    if visitor.link::<Self>(at)? {
                        L::Child::walk(child, mem, at.iova, from, visitor)?;
                        visitor.left::<Self>();
                    }
                    ControlFlow::Continue(())
                }
            }
        })
    }
}
