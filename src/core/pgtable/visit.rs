// SPDX-License-Identifier: GPL-2.0

//! Visits every leaf of a table with the entries that lead to it, in one call or in parts; and finds
//! the first leaf below an entry.

use super::level::{Directory, TableLevel};
use super::memory::TableMemory;
use super::walk::{EntryAt, Visitor, WalkLevel};
use super::{at_top, PageTable};
use crate::spec::address::Iova;
use crate::spec::level::Level;
use core::ops::ControlFlow;

/// A leaf and the entries that lead to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VisitedLeaf {
    /// The first address that the leaf maps.
    pub iova: Iova,
    /// The level of the table that holds the leaf.
    pub level: Level,
    /// The raw entries of the walk: `path[n]` is the one of level n + 1, or 0 at levels that the
    /// walk does not read. The leaf is `path[level - 1]`.
    pub path: [u64; 5],
}

/// How [`PageTable::visit_part`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VisitEnd {
    /// Every leaf was visited.
    Done,
    /// The visitor returned `Break`.
    Broken,
    /// The limit of tables was reached. Every leaf below this address was visited.
    At(Iova),
}

impl<M: TableMemory> PageTable<M> {
    /// Calls `see` with every leaf that maps `from` or an address above, in order, until it returns
    /// `Break`.
    ///
    /// To continue later, start at the address after the last leaf visited.
    ///
    /// # Errors
    ///
    /// `Break` if `see` returned `Break`.
    ///
    /// # Context
    ///
    /// No table may be freed during the call. Leaves that change concurrently may be visited or
    /// not.
    pub fn visit<F>(&self, mem: &M, from: Iova, see: &mut F) -> ControlFlow<()>
    where
        F: FnMut(&VisitedLeaf) -> ControlFlow<()>,
    {
        match self.visit_part(mem, from, u32::MAX, see) {
            VisitEnd::Broken => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }

    /// Visits leaves like [`visit`](Self::visit), but enters at most `tables` tables below the top
    /// one, so that the call takes a bounded time. At least 4 are needed to reach a leaf.
    pub fn visit_part<F>(&self, mem: &M, from: Iova, tables: u32, see: &mut F) -> VisitEnd
    where
        F: FnMut(&VisitedLeaf) -> ControlFlow<()>,
    {
        if from.raw() > self.last_iova {
            return VisitEnd::Done;
        }
        let from = from.raw();
        let mut visit = Visit {
            mem,
            from,
            path: [0; 5],
            tables,
            see,
        };
        at_top!(self, L, top => L::walk(top, mem, 0, from, &mut visit))
            .break_value()
            .unwrap_or(VisitEnd::Done)
    }
}

/// The state of a visit in progress.
struct Visit<'a, M: TableMemory, F> {
    mem: &'a M,
    from: u64,
    path: [u64; 5],
    /// The number of tables that may still be entered.
    tables: u32,
    see: &'a mut F,
}

impl<M: TableMemory, F> Visit<'_, M, F> {
    fn set_path<L: TableLevel>(&mut self, entry: u64) {
        let above = usize::from(L::LEVEL.number()).wrapping_sub(1);
        if let Some(place) = self.path.get_mut(above) {
            *place = entry;
        }
    }
}

impl<M: TableMemory, F: FnMut(&VisitedLeaf) -> ControlFlow<()>> Visitor<M> for Visit<'_, M, F> {
    const ONE_ADDRESS: bool = false;

    type Break = VisitEnd;

    fn leaf<L: TableLevel>(
        &mut self,
        at: EntryAt<M::Table<L>>,
        entry: u64,
    ) -> ControlFlow<VisitEnd> {
        self.set_path::<L>(entry);
        let flow = (self.see)(&VisitedLeaf {
            iova: Iova::new(at.iova),
            level: L::LEVEL,
            path: self.path,
        });
        self.set_path::<L>(0);
        flow.map_break(|()| VisitEnd::Broken)
    }

    /// Counts the table as entered, or breaks at the limit.
    fn link<L: Directory>(&mut self, at: EntryAt<M::Table<L>>) -> ControlFlow<VisitEnd, bool> {
        let Some(tables) = self.tables.checked_sub(1) else {
            let resume_at = Iova::new(at.iova.max(self.from));
            return ControlFlow::Break(VisitEnd::At(resume_at));
        };
        self.tables = tables;
        self.set_path::<L>(self.mem.raw(at.table, at.index));
        ControlFlow::Continue(true)
    }

    fn left<L: Directory>(&mut self) {
        self.set_path::<L>(0);
    }
}

/// Returns the offset of the first leaf in or below `table` from the table's first address, in bytes,
/// or `None` if nothing is mapped there.
pub(super) fn first_leaf<L: WalkLevel, M: TableMemory>(table: M::Table<L>, mem: &M) -> Option<u64> {
    L::walk(table, mem, 0, 0, &mut FirstLeaf).break_value()
}

struct FirstLeaf;

impl<M: TableMemory> Visitor<M> for FirstLeaf {
    const ONE_ADDRESS: bool = false;

    type Break = u64;

    fn leaf<L: TableLevel>(&mut self, at: EntryAt<M::Table<L>>, _: u64) -> ControlFlow<u64> {
        ControlFlow::Break(at.iova)
    }

    fn link<L: Directory>(&mut self, _: EntryAt<M::Table<L>>) -> ControlFlow<u64, bool> {
        ControlFlow::Continue(true)
    }
}
