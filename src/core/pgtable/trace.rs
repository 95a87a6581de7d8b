// SPDX-License-Identifier: GPL-2.0

//! The way of one address through the tables, entry by entry, as a unit goes it: what becomes of a
//! read and of a write, and at which entry that is decided.

use super::level::{Directory, TableLevel, L1};
use super::memory::{PresentEntry, TableMemory};
use super::{at_top, Geometry, SecondStage};
use crate::spec::address::{Iova, PhysAddr};
use crate::spec::fault::FaultReason;
use crate::spec::level::Level;
use crate::spec::pte::{DecodedEntry, Entry};
use core::ops::ControlFlow;

/// An entry on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceStep<P> {
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
pub enum WalkOutcome {
    /// It reaches this byte of memory.
    Translated(PhysAddr),
    /// It is refused, as a fault record says it.
    Faulted {
        /// Why.
        reason: FaultReason,
        /// The level of the entry that refuses it; none where no table is asked.
        level: Option<Level>,
    },
}

/// What becomes of the two kinds of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkTrace {
    /// Of a read.
    pub read: WalkOutcome,
    /// Of a write.
    pub write: WalkOutcome,
}

impl WalkTrace {
    /// Both are refused for the same reason, before any table is asked.
    pub const fn faulted(reason: FaultReason) -> Self {
        let faulted = WalkOutcome::Faulted {
            reason,
            level: None,
        };
        Self {
            read: faulted,
            write: faulted,
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
    pub fn trace_walk<F: FnMut(TraceStep<M::Page>)>(
        &self,
        mem: &M,
        iova: Iova,
        see: &mut F,
    ) -> WalkTrace {
        if iova.raw() > self.last_iova {
            return WalkTrace::faulted(BEYOND_WIDTH);
        }
        let mut walk = TraceWalk {
            mem,
            iova: iova.raw(),
            geometry: &self.geometry,
            read: None,
            write: None,
            see,
        };
        let _ = at_top!(self, L, top => L::trace(top, &mut walk));
        // A way ends at level 1 at the latest, whose entries decide both.
        let undecided = WalkOutcome::Faulted {
            reason: RESERVED_BITS,
            level: None,
        };
        WalkTrace {
            read: walk.read.unwrap_or(undecided),
            write: walk.write.unwrap_or(undecided),
        }
    }
}

/// A way being gone.
struct TraceWalk<'a, M: TableMemory, F> {
    mem: &'a M,
    iova: u64,
    geometry: &'a Geometry,
    /// What becomes of a read, once decided.
    read: Option<WalkOutcome>,
    /// What becomes of a write, once decided.
    write: Option<WalkOutcome>,
    see: &'a mut F,
}

impl<M: TableMemory, F: FnMut(TraceStep<M::Page>)> TraceWalk<'_, M, F> {
    /// Judges an entry as a unit does: what it permits, then its reserved bits, then its meaning.
    fn check_entry<L: TableLevel>(&mut self, table: M::Table<L>, entry: Entry) -> ControlFlow<()> {
        (self.see)(TraceStep {
            level: L::LEVEL,
            table: self.mem.page::<L>(table),
            index: L::index(self.iova),
            entry,
        });
        let faulted = |reason| WalkOutcome::Faulted {
            reason,
            level: Some(L::LEVEL),
        };
        let access = entry.access();
        if !access.is_some_and(|access| access.reads()) {
            self.read.get_or_insert(faulted(NOT_FOR_READING));
        }
        if !access.is_some_and(|access| access.writes()) {
            self.write.get_or_insert(faulted(NOT_FOR_WRITING));
        }
        let end = if self.has_reserved::<L>(entry) {
            Some(faulted(RESERVED_BITS))
        } else {
            match entry.decode(L::LEVEL) {
                DecodedEntry::Leaf { address, .. } => Some(WalkOutcome::Translated(PhysAddr::new(
                    address.raw() | L::offset(self.iova),
                ))),
                DecodedEntry::Absent | DecodedEntry::Table { .. } => None,
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
        let unsupported_page = match entry.decode(L::LEVEL) {
            DecodedEntry::Leaf { size, .. } => geometry.page_sizes() & size.bytes() == 0,
            DecodedEntry::Absent | DecodedEntry::Table { .. } => false,
        };
        unsupported_page
            || entry.reserved_bits(L::LEVEL, geometry.output_bits, geometry.snoop_control) != 0
    }
}

/// A level through which a way leads.
trait TraceLevel: TableLevel {
    fn trace<M: TableMemory, F: FnMut(TraceStep<M::Page>)>(
        table: M::Table<Self>,
        walk: &mut TraceWalk<'_, M, F>,
    ) -> ControlFlow<()>;
}

impl TraceLevel for L1 {
    fn trace<M: TableMemory, F: FnMut(TraceStep<M::Page>)>(
        table: M::Table<Self>,
        walk: &mut TraceWalk<'_, M, F>,
    ) -> ControlFlow<()> {
        let entry = walk.mem.raw(table, Self::index(walk.iova));
        walk.check_entry::<Self>(table, Entry::from_raw(entry))
    }
}

impl<L: Directory> TraceLevel for L
where
    L::Child: TraceLevel,
{
    fn trace<M: TableMemory, F: FnMut(TraceStep<M::Page>)>(
        table: M::Table<Self>,
        walk: &mut TraceWalk<'_, M, F>,
    ) -> ControlFlow<()> {
        let index = Self::index(walk.iova);
        match walk.mem.load_entry(table, index) {
            None => walk.check_entry::<Self>(table, Entry::ABSENT),
            Some(PresentEntry::Leaf(entry)) => {
                walk.check_entry::<Self>(table, Entry::from_raw(entry))
            }
            Some(PresentEntry::Table(child)) => {
                // Read anew: it may be gone meanwhile, which then is what is told.
                let entry = walk.mem.raw(table, index);
                walk.check_entry::<Self>(table, Entry::from_raw(entry))?;
                L::Child::trace(child, walk)
            }
        }
    }
}
