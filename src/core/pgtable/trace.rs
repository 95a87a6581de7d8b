// SPDX-License-Identifier: GPL-2.0

//! The way of one address through the tables, entry by entry, as a unit goes it: what becomes of a
//! read and of a write, and at which entry that is decided.

use super::level::{Directory, TableLevel, L1};
use super::memory::{Occupied, TableMemory};
use super::{at_top, Geometry, SecondStage};
use crate::spec::address::{Iova, PhysAddr};
use crate::spec::fault::FaultReason;
use crate::spec::level::Level;
use crate::spec::pte::{Entry, Meaning};
use core::ops::ControlFlow;

/// An entry on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<P> {
    /// The level of the table in which it stands.
    pub level: Level,
    /// That table.
    pub table: P,
    /// Its place there.
    pub index: usize,
    /// What it holds.
    pub entry: Entry,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It reaches this byte of memory.
    Reaches(PhysAddr),
    /// It is refused, as a fault record says it.
    Refused {
        /// Why.
        reason: FaultReason,
        /// The level of the entry that refuses it; none where no table is asked.
        level: Option<Level>,
    },
}

/// What becomes of the two kinds of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// Of a read.
    pub read: Fate,
    /// Of a write.
    pub write: Fate,
}

impl Way {
    /// Both are refused for the same reason, before any table is asked.
    pub const fn closed(reason: FaultReason) -> Self {
        let refused = Fate::Refused {
            reason,
            level: None,
        };
        Self {
            read: refused,
            write: refused,
        }
    }
}

const BEYOND_WIDTH: FaultReason = FaultReason::new(0x4);
const NOT_FOR_WRITING: FaultReason = FaultReason::new(0x5);
const NOT_FOR_READING: FaultReason = FaultReason::new(0x6);
const RESERVED_BITS: FaultReason = FaultReason::new(0xc);

impl<M: TableMemory> SecondStage<M> {
    /// Goes the way of `iova`: calls `see` with each entry that a unit reads, from the top on, until
    /// reads and writes are decided.
    ///
    /// Context: no table may be freed meanwhile. What changes meanwhile is seen as it was or is.
    pub fn way<F: FnMut(Step<M::Page>)>(&self, mem: &M, iova: Iova, see: &mut F) -> Way {
        if iova.raw() > self.last_iova {
            return Way::closed(BEYOND_WIDTH);
        }
        let mut walk = Walk {
            mem,
            iova: iova.raw(),
            geometry: &self.geometry,
            read: None,
            write: None,
            see,
        };
        let _ = at_top!(self, L, top => L::go(top, &mut walk));
        // A way ends at level 1 at the latest, whose entries decide both.
        let undecided = Fate::Refused {
            reason: RESERVED_BITS,
            level: None,
        };
        Way {
            read: walk.read.unwrap_or(undecided),
            write: walk.write.unwrap_or(undecided),
        }
    }
}

/// A way being gone.
struct Walk<'a, M: TableMemory, F> {
    mem: &'a M,
    iova: u64,
    geometry: &'a Geometry,
    /// What becomes of a read, once decided.
    read: Option<Fate>,
    /// What becomes of a write, once decided.
    write: Option<Fate>,
    see: &'a mut F,
}

impl<M: TableMemory, F: FnMut(Step<M::Page>)> Walk<'_, M, F> {
    /// Judges an entry as a unit does: what it permits, then its reserved bits, then its meaning.
    fn pass<L: TableLevel>(&mut self, table: M::Table<L>, entry: Entry) -> ControlFlow<()> {
        (self.see)(Step {
            level: L::LEVEL,
            table: self.mem.page::<L>(table),
            index: L::index(self.iova),
            entry,
        });
        let refused = |reason| Fate::Refused {
            reason,
            level: Some(L::LEVEL),
        };
        let access = entry.access();
        if !access.is_some_and(|access| access.reads()) {
            self.read.get_or_insert(refused(NOT_FOR_READING));
        }
        if !access.is_some_and(|access| access.writes()) {
            self.write.get_or_insert(refused(NOT_FOR_WRITING));
        }
        let end = if self.has_reserved::<L>(entry) {
            Some(refused(RESERVED_BITS))
        } else {
            match entry.meaning(L::LEVEL) {
                Meaning::Leaf { address, .. } => Some(Fate::Reaches(PhysAddr::new(
                    address.raw() | L::offset(self.iova),
                ))),
                Meaning::Absent | Meaning::Table { .. } => None,
            }
        };
        if let Some(end) = end {
            self.read.get_or_insert(end);
            self.write.get_or_insert(end);
        }
        if self.read.is_some() && self.write.is_some() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    /// Whether a unit that has what the tables were made for finds bits set that it knows nothing
    /// of: pages of a size that it does not have are such, too.
    fn has_reserved<L: TableLevel>(&self, entry: Entry) -> bool {
        let geometry = self.geometry;
        let strange_page = match entry.meaning(L::LEVEL) {
            Meaning::Leaf { size, .. } => geometry.page_sizes() & size.bytes() == 0,
            Meaning::Absent | Meaning::Table { .. } => false,
        };
        strange_page
            || entry.reserved_bits(L::LEVEL, geometry.output_bits, geometry.snoop_control) != 0
    }
}

/// A level through which a way leads.
trait WayLevel: TableLevel {
    fn go<M: TableMemory, F: FnMut(Step<M::Page>)>(
        table: M::Table<Self>,
        walk: &mut Walk<'_, M, F>,
    ) -> ControlFlow<()>;
}

impl WayLevel for L1 {
    fn go<M: TableMemory, F: FnMut(Step<M::Page>)>(
        table: M::Table<Self>,
        walk: &mut Walk<'_, M, F>,
    ) -> ControlFlow<()> {
        let entry = walk.mem.raw(table, Self::index(walk.iova));
        walk.pass::<Self>(table, Entry::from_raw(entry))
    }
}

impl<L: Directory> WayLevel for L
where
    L::Child: WayLevel,
{
    fn go<M: TableMemory, F: FnMut(Step<M::Page>)>(
        table: M::Table<Self>,
        walk: &mut Walk<'_, M, F>,
    ) -> ControlFlow<()> {
        let index = Self::index(walk.iova);
        match walk.mem.slot(table, index) {
            None => walk.pass::<Self>(table, Entry::ABSENT),
            Some(Occupied::Leaf(entry)) => walk.pass::<Self>(table, Entry::from_raw(entry)),
            Some(Occupied::Table(child)) => {
                // Read anew: it may be gone meanwhile, which then is what is told.
                let entry = walk.mem.raw(table, index);
                walk.pass::<Self>(table, Entry::from_raw(entry))?;
                L::Child::go(child, walk)
            }
        }
    }
}
