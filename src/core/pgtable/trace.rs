// SPDX-License-Identifier: GPL-2.0

//! Traces one IOVA through the page table as hardware would walk it, and reports which entry ends
//! the walk for a read and for a write.

use super::format::Format;
use super::level::{Directory, TableLevel};
use super::memory::TableMemory;
use super::walk::{EntryAt, Visitor, WalkLevel};
use super::{at_top, Geometry, PageTable};
use crate::spec::address::{Iova, PhysAddr};
use crate::spec::fault::FaultReason;
use crate::spec::level::Level;
use crate::spec::pte::{Access, DecodedEntry};
use crate::spec::registers::TranslationTableMode;
use core::ops::ControlFlow;

/// One entry that the walk reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceStep<P> {
    /// The level of the table that holds the entry.
    pub level: Level,
    /// The table.
    pub table: P,
    /// The index of the entry in the table.
    pub index: usize,
    /// The entry.
    pub entry: u64,
    /// Its meaning in the format of the table.
    pub meaning: DecodedEntry,
}

/// The outcome of a walk for one kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalkOutcome {
    /// The request is translated to this address.
    Translated(PhysAddr),
    /// The request faults, with the reason that a fault record would hold.
    Faulted {
        /// The fault reason.
        reason: FaultReason,
        /// The level of the entry that faults, or `None` if no table was read.
        level: Option<Level>,
    },
}

/// The outcome of a walk for a read and for a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkTrace {
    /// The outcome for a read.
    pub read: WalkOutcome,
    /// The outcome for a write.
    pub write: WalkOutcome,
}

impl WalkTrace {
    /// Creates the trace of a request that faults before any table is read, for reads and writes.
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

impl<M: TableMemory> PageTable<M> {
    /// Traces `iova`: calls `see` with each entry that a unit in `mode` reads, from the top table
    /// down, until the outcomes of reads and writes are known.
    ///
    /// # Context
    ///
    /// No table may be freed during the call. An entry that changes concurrently is seen either as
    /// it was or as it is.
    pub fn trace_walk<F: FnMut(TraceStep<M::Page>)>(
        &self,
        mem: &M,
        iova: Iova,
        mode: TranslationTableMode,
        see: &mut F,
    ) -> WalkTrace {
        if iova.raw() > self.last_iova {
            let reason = M::Format::refuses_beyond(iova, self.geometry.width, mode);
            return WalkTrace::faulted(reason);
        }
        let from = iova.raw();
        let mut trace = Trace {
            mem,
            iova: from,
            geometry: &self.geometry,
            mode,
            read: None,
            write: None,
            see,
        };
        let _ = at_top!(self, L, top => L::walk(top, mem, 0, from, &mut trace));
        // A walk ends at level 1 at the latest, whose entries decide both outcomes.
        let undecided = WalkOutcome::Faulted {
            reason: M::Format::refuses_reserved(mode),
            level: None,
        };
        WalkTrace {
            read: trace.read.unwrap_or(undecided),
            write: trace.write.unwrap_or(undecided),
        }
    }
}

/// The state of a trace in progress.
struct Trace<'a, M: TableMemory, F> {
    mem: &'a M,
    iova: u64,
    geometry: &'a Geometry,
    mode: TranslationTableMode,
    /// The outcome for a read, once known.
    read: Option<WalkOutcome>,
    /// The outcome for a write, once known.
    write: Option<WalkOutcome>,
    see: &'a mut F,
}

impl<M: TableMemory, F: FnMut(TraceStep<M::Page>)> Trace<'_, M, F> {
    /// Checks an entry as a unit does: its permissions, then its reserved bits, then its meaning.
    /// Breaks once the outcomes of reads and writes are known.
    fn check_entry<L: TableLevel>(
        &mut self,
        at: EntryAt<M::Table<L>>,
        entry: u64,
    ) -> ControlFlow<()> {
        let meaning = M::Format::decode(entry, L::LEVEL);
        (self.see)(TraceStep {
            level: L::LEVEL,
            table: self.mem.page::<L>(at.table),
            index: at.index,
            entry,
            meaning,
        });
        let faulted = |reason| WalkOutcome::Faulted {
            reason,
            level: Some(L::LEVEL),
        };
        if let Some(reason) = M::Format::refuses(entry, Access::Read, self.mode) {
            self.read.get_or_insert(faulted(reason));
        }
        if let Some(reason) = M::Format::refuses(entry, Access::Write, self.mode) {
            self.write.get_or_insert(faulted(reason));
        }
        let end = if self.has_reserved::<L>(entry, meaning) {
            Some(faulted(M::Format::refuses_reserved(self.mode)))
        } else {
            match meaning {
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

    /// Returns whether a unit with this geometry would find a reserved bit set. An unsupported page
    /// size counts as one.
    fn has_reserved<L: TableLevel>(&self, entry: u64, meaning: DecodedEntry) -> bool {
        let unsupported_page = match meaning {
            DecodedEntry::Leaf { size, .. } => self.geometry.page_sizes() & size.bytes() == 0,
            DecodedEntry::Absent | DecodedEntry::Table { .. } => false,
        };
        unsupported_page || M::Format::reserved_bits(entry, L::LEVEL, self.geometry) != 0
    }
}

impl<M: TableMemory, F: FnMut(TraceStep<M::Page>)> Visitor<M> for Trace<'_, M, F> {
    const ONE_ADDRESS: bool = true;

    type Break = ();

    fn absent<L: TableLevel>(&mut self, at: EntryAt<M::Table<L>>) -> ControlFlow<()> {
        self.check_entry::<L>(at, 0)
    }

    fn leaf<L: TableLevel>(&mut self, at: EntryAt<M::Table<L>>, entry: u64) -> ControlFlow<()> {
        self.check_entry::<L>(at, entry)
    }

    fn link<L: Directory>(&mut self, at: EntryAt<M::Table<L>>) -> ControlFlow<(), bool> {
        // Read again: the entry may have been cleared since, and the trace reports what is there
        // now.
        let entry = self.mem.raw(at.table, at.index);
        self.check_entry::<L>(at, entry).map_continue(|()| true)
    }
}
