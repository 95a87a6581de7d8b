// SPDX-License-Identifier: GPL-2.0

//! Visits every leaf of a table with the entries that lead to it, in one call or in parts.

use super::level::{Directory, TableLevel, L1};
use super::memory::{PresentEntry, TableMemory};
use super::{at_top, SecondStage};
use crate::spec::address::Iova;
use crate::spec::level::{Level, TABLE_ENTRIES};
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

/// How [`SecondStage::visit_part`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VisitEnd {
    /// Every leaf was visited.
    Done,
    /// The visitor returned `Break`.
    Broken,
    /// The limit of tables was reached. Every leaf below this address was visited.
    At(Iova),
}

impl<M: TableMemory> SecondStage<M> {
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
        let mut walk = VisitWalk {
            mem,
            from: from.raw(),
            path: [0; 5],
            tables,
            resume_at: None,
            see,
        };
        match at_top!(self, L, top => L::visit(top, 0, &mut walk)) {
            ControlFlow::Continue(()) => VisitEnd::Done,
            ControlFlow::Break(()) => walk
                .resume_at
                .map_or(VisitEnd::Broken, |at| VisitEnd::At(Iova::new(at))),
        }
    }
}

/// The state of a visit in progress.
struct VisitWalk<'a, M: TableMemory, F> {
    mem: &'a M,
    from: u64,
    path: [u64; 5],
    /// The number of tables that may still be entered.
    tables: u32,
    /// The first address of the table at which the limit was reached.
    resume_at: Option<u64>,
    see: &'a mut F,
}

impl<M: TableMemory, F: FnMut(&VisitedLeaf) -> ControlFlow<()>> VisitWalk<'_, M, F> {
    fn set_path<L: TableLevel>(&mut self, entry: u64) {
        let above = usize::from(L::LEVEL.number()).wrapping_sub(1);
        if let Some(place) = self.path.get_mut(above) {
            *place = entry;
        }
    }

    fn leaf<L: TableLevel>(&mut self, iova: u64, entry: u64) -> ControlFlow<()> {
        self.set_path::<L>(entry);
        let flow = (self.see)(&VisitedLeaf {
            iova: Iova::new(iova),
            level: L::LEVEL,
            path: self.path,
        });
        self.set_path::<L>(0);
        flow
    }

    /// Counts the table that starts at `base` as entered, or breaks at the limit.
    fn enter(&mut self, base: u64) -> ControlFlow<()> {
        match self.tables.checked_sub(1) {
            Some(left) => {
                self.tables = left;
                ControlFlow::Continue(())
            }
            None => {
                self.resume_at = Some(base.max(self.from));
                ControlFlow::Break(())
            }
        }
    }

    /// Returns the first index to read in a table of level `L` that starts at `base`.
    fn first_index<L: TableLevel>(&self, base: u64) -> usize {
        if self.from > base {
            L::index(self.from)
        } else {
            0
        }
    }
}

/// A level at which a visit can be.
trait VisitLevel: TableLevel {
    /// Visits the leaves in and below `table`, whose first address is `base`.
    fn visit<M: TableMemory, F: FnMut(&VisitedLeaf) -> ControlFlow<()>>(
        table: M::Table<Self>,
        base: u64,
        walk: &mut VisitWalk<'_, M, F>,
    ) -> ControlFlow<()>;
}

impl VisitLevel for L1 {
    fn visit<M: TableMemory, F: FnMut(&VisitedLeaf) -> ControlFlow<()>>(
        table: M::Table<Self>,
        base: u64,
        walk: &mut VisitWalk<'_, M, F>,
    ) -> ControlFlow<()> {
        for index in walk.first_index::<Self>(base)..TABLE_ENTRIES {
            if let Some(entry) = walk.mem.leaf(table, index) {
                walk.leaf::<Self>(base | ((index as u64) << Self::SHIFT), entry)?;
            }
        }
        ControlFlow::Continue(())
    }
}

impl<L: Directory> VisitLevel for L
where
    L::Child: VisitLevel,
{
    fn visit<M: TableMemory, F: FnMut(&VisitedLeaf) -> ControlFlow<()>>(
        table: M::Table<Self>,
        base: u64,
        walk: &mut VisitWalk<'_, M, F>,
    ) -> ControlFlow<()> {
        for index in walk.first_index::<Self>(base)..TABLE_ENTRIES {
            let iova = base | ((index as u64) << Self::SHIFT);
            match walk.mem.load_entry(table, index) {
                None => {}
                Some(PresentEntry::Leaf(entry)) => walk.leaf::<Self>(iova, entry)?,
                Some(PresentEntry::Table(child)) => {
                    walk.enter(iova)?;
                    walk.set_path::<Self>(walk.mem.raw(table, index));
                    L::Child::visit(child, iova, walk)?;
                    walk.set_path::<Self>(0);
                }
            }
        }
        ControlFlow::Continue(())
    }
}
