// SPDX-License-Identifier: GPL-2.0

//! What the slow paths of map and unmap gather: a table that is retired, then the wait for the
//! reports that may be in it, then its range.

use crate::pgtable_arena::{Arena, PageId};
use crate::pgtable_model::{MEGA, PAGE};
use crate::FULL;
use vtd_core::pgtable::{FlushGather, MapError, PageTable, Prot};
use vtd_core::spec::address::{Iova, PhysAddr};
use vtd_core::spec::pte::Access;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Retired,
    Waited,
    Added(u64, u64),
}

/// Frees tables as they are retired: the arena finds one that is used afterwards.
struct Recorder<'a>(&'a Arena, Vec<Event>);

impl FlushGather<PageId> for Recorder<'_> {
    fn retire(&mut self, table: PageId) {
        self.0.retire(table);
        self.1.push(Event::Retired);
    }

    fn wait_for_readers(&mut self) {
        self.1.push(Event::Waited);
    }

    fn add(&mut self, iova: Iova, len: u64) {
        self.1.push(Event::Added(iova.raw(), len));
    }
}

struct Bench {
    arena: Arena,
    table: PageTable<Arena>,
}

impl Bench {
    fn new() -> Self {
        let arena = Arena::new(64);
        let table = PageTable::new(&arena, FULL).expect("a first page");
        Self { arena, table }
    }

    fn map(&self, iova: u64, len: u64) -> (Result<(), MapError>, Vec<Event>) {
        let prot = Prot {
            access: Access::ReadWrite,
            snoop: false,
        };
        let mut gather = Recorder(&self.arena, Vec::new());
        let (iova, phys) = (Iova::new(iova), PhysAddr::new(iova));
        let mapped = self
            .table
            .map_fast(&self.arena, iova, phys, len, prot)
            .or_else(|rest| self.table.map_existing(&self.arena, rest))
            .or_else(|rest| self.table.map_gathered(&self.arena, rest, &mut gather));
        (mapped, gather.1)
    }

    fn unmap(&self, iova: u64, len: u64) -> (u64, Vec<Event>) {
        let mut gather = Recorder(&self.arena, Vec::new());
        let at = Iova::new(iova);
        let bytes = self
            .table
            .unmap_fast(&self.arena, at, len)
            .or_else(|rest| self.table.unmap_existing(&self.arena, rest))
            .unwrap_or_else(|rest| {
                self.table
                    .unmap_gathered(&self.arena, rest, at, &mut gather)
            });
        (bytes, gather.1)
    }
}

#[test]
fn a_table_is_retired_before_readers_are_waited_for_and_its_range_is_added() {
    let bench = Bench::new();
    assert_eq!(bench.map(0, MEGA - PAGE), (Ok(()), vec![]));
    // The table stays, because its last page was not mapped.
    assert_eq!(bench.unmap(0, MEGA - PAGE).0, MEGA - PAGE);
    let replaced = vec![Event::Retired, Event::Waited, Event::Added(0, MEGA)];
    assert_eq!(bench.map(0, MEGA), (Ok(()), replaced));
    // In two parts, so that no large page is written.
    assert_eq!(bench.map(MEGA, PAGE), (Ok(()), vec![]));
    assert_eq!(bench.map(MEGA + PAGE, MEGA - PAGE), (Ok(()), vec![]));
    let emptied = vec![Event::Retired, Event::Waited, Event::Added(MEGA, MEGA)];
    assert_eq!(bench.unmap(MEGA, MEGA), (MEGA, emptied));
}

#[test]
fn a_failed_map_adds_what_it_had_written() {
    let bench = Bench::new();
    assert_eq!(bench.map(2 * PAGE, PAGE), (Ok(()), vec![]));
    let (failed, events) = bench.map(0, 4 * PAGE);
    assert!(matches!(failed, Err(MapError::AddressInUse { .. })));
    assert_eq!(events, [Event::Added(0, 2 * PAGE)]);
}
