// SPDX-License-Identifier: GPL-2.0

//! Two maps install the tables above them concurrently, on a unit that does not snoop: after a map
//! returns, hardware finds the mapping, whichever thread has linked the tables.

use crate::lockless::links;
use crate::shim::atomic::{LocklessU64 as AtomicU64, Ordering};
use crate::shim::run::{clear_run, fill_run};
use crate::shim::table_pages::{Cells, ENTRIES};
use core::marker::PhantomData;
use std::sync::Arc;
use vtd_core::pgtable::run::is_leaf;
use vtd_core::pgtable::{
    Directory, Format, Geometry, OutOfMemory, PageTable, PresentEntry, Prot, SecondStage,
    TableLevel, TableMemory,
};
use vtd_core::spec::address::{Iova, PhysAddr};
use vtd_core::spec::level::AddressWidth;
use vtd_core::spec::pte::Access;

/// A table of level `L`.
struct Table<L>(&'static Cells, PhantomData<L>);

impl<L> Clone for Table<L> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<L> Copy for Table<L> {}

impl<L> Table<L> {
    fn new(cells: &'static Cells) -> Self {
        Table(cells, PhantomData)
    }

    fn entry(&self, index: usize) -> &'static AtomicU64 {
        &self.0.entries[index]
    }

    fn run(&self, first: usize, count: usize) -> &'static [AtomicU64] {
        &self.0.entries[first.min(ENTRIES)..(first + count).min(ENTRIES)]
    }
}

fn present<L: Directory>(entry: u64) -> PresentEntry<Table<L::Child>> {
    if is_leaf::<SecondStage, L>(entry) {
        PresentEntry::Leaf(entry)
    } else {
        PresentEntry::Table(Table::new(Cells::at(entry)))
    }
}

/// Declares, for each version of the file, a module with the memory of tables that a unit walks that
/// does not snoop.
macro_rules! memories {
    ($($name:ident: $links:ident;)+) => {$(
        mod $name {
            use super::*;

            #[derive(Clone, Copy)]
            pub(super) struct Memory;

            fn write_back<L>(table: Table<L>, index: usize, link: u64) {
                super::$links::note_written_back::<SecondStage>(table.entry(index), link, || {
                    table.0.write_back(index, 1)
                });
            }

            impl TableMemory for Memory {
                type Format = SecondStage;
                type Table<L: TableLevel> = Table<L>;
                type Page = &'static Cells;

                fn page<L: TableLevel>(&self, table: Table<L>) -> &'static Cells {
                    table.0
                }

                fn alloc<L: TableLevel>(&self) -> Result<Table<L>, OutOfMemory> {
                    let table = Table::new(Cells::zeroed());
                    table.0.write_back(0, ENTRIES);
                    Ok(table)
                }

                fn discard<L: TableLevel>(&self, _: Table<L>) {}

                fn load_entry<L: Directory>(
                    &self,
                    table: Table<L>,
                    index: usize,
                ) -> Option<PresentEntry<Table<L::Child>>> {
                    let entry = super::$links::load_entry::<SecondStage, L, false>(
                        table.entry(index),
                        |link| write_back(table, index, link),
                    )?;
                    Some(present::<L>(entry))
                }

                fn child<L: Directory>(
                    &self,
                    table: Table<L>,
                    index: usize,
                ) -> Option<Table<L::Child>> {
                    let link = super::$links::load_link::<SecondStage, L, false>(
                        table.entry(index),
                        |link| write_back(table, index, link),
                    )?;
                    Some(Table::new(Cells::at(link)))
                }

                fn raw<L: TableLevel>(&self, table: Table<L>, index: usize) -> u64 {
                    table.entry(index).load(Ordering::Relaxed)
                }

                fn fill<L: TableLevel>(
                    &self,
                    table: Table<L>,
                    first: usize,
                    count: usize,
                    entry: u64,
                ) -> usize {
                    fill_run::<SecondStage, L>(table.run(first, count), entry)
                }

                fn clear<L: TableLevel>(
                    &self,
                    table: Table<L>,
                    first: usize,
                    count: usize,
                ) -> usize {
                    clear_run::<SecondStage, L>(table.run(first, count))
                }

                fn link<L: Directory>(
                    &self,
                    table: Table<L>,
                    index: usize,
                    child: Table<L::Child>,
                ) -> Result<(), PresentEntry<Table<L::Child>>> {
                    let link = SecondStage::link(PhysAddr::new(child.0.phys())).unwrap();
                    let linked = super::$links::store::<SecondStage, L, false>(
                        table.entry(index),
                        link,
                        |link| write_back(table, index, link),
                    );
                    linked.map_err(present::<L>)
                }

                fn unlink<L: Directory>(&self, table: Table<L>, index: usize) {
                    table.entry(index).store(0, Ordering::Relaxed)
                }

                fn flush<L: TableLevel>(&self, table: Table<L>, first: usize, count: usize) {
                    table.0.write_back(first, count)
                }
            }
        }
    )+};
}

mistakes! {
    links_reader_trusts_writer links_loser_trusts_winner links_marked_before_written_back
    links_overwritten links_relaxed
}

memories! {
    memory: links;
    reader_trusts_writer: links_reader_trusts_writer;
    loser_trusts_winner: links_loser_trusts_winner;
    marked_before_written_back: links_marked_before_written_back;
    overwritten: links_overwritten;
    relaxed: links_relaxed;
}

const GEOMETRY: Geometry = Geometry {
    width: AddressWidth::Bits39,
    input_bits: 39,
    output_bits: 48,
    large_2m: false,
    large_1g: false,
    snoop_control: false,
};

macro_rules! found {
    ($module:ident) => {
        crate::check(|| {
            let mem = $module::Memory;
            let stage = Arc::new(PageTable::new(&mem, GEOMETRY).unwrap());
            let map = |page: u64| {
                let stage = stage.clone();
                move || {
                    let prot = Prot {
                        access: Access::ReadWrite,
                        snoop: false,
                    };
                    let (iova, phys) = (Iova::new(page << 12), PhysAddr::new((page + 7) << 12));
                    let mapped = stage.map(&mem, iova, phys, 4096, prot, &mut |_| ());
                    assert!(mapped.is_ok());
                    // The hardware walk.
                    let mut table = stage.top(&mem);
                    for index in [0, 0] {
                        let link = table.hardware(index);
                        assert_ne!(link, 0, "hardware finds no table");
                        table = Cells::at(link);
                    }
                    assert_eq!(table.hardware(page as usize), phys.raw() | 3);
                }
            };
            let other = loom::thread::spawn(map(1));
            map(0)();
            other.join().unwrap();
            // Neither map has removed the mapping of the other.
            for page in 0..2 {
                assert!(stage.query(&mem, Iova::new(page << 12)).is_some());
            }
        })
    };
}

laws! {
    hardware_finds_what_two_threads_map_concurrently: memory, found;
    a_reader_that_trusts_the_writer_is_noticed: reader_trusts_writer, "hardware finds no table";
    a_loser_that_trusts_the_winner_is_noticed: loser_trusts_winner, "hardware finds no table";
    a_link_marked_before_it_is_written_back_is_noticed: marked_before_written_back, "hardware finds no table";
    a_link_written_over_another_is_noticed: overwritten, "is_some()";
    a_link_without_order_is_noticed: relaxed, "Causality violation";
}
