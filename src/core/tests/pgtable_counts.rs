// SPDX-License-Identifier: GPL-2.0

//! A count finds every table and every large page once, however small its parts are.

use crate::pgtable_arena::PageId;
use crate::pgtable_model::{Bench, GIGA, MEGA, PAGE};
use crate::{rw, FULL};
use vtd_core::pgtable::{CountCursor, Geometry, TableCounts};
use vtd_core::spec::level::AddressWidth;

/// Counts in parts of `tables` directories. Returns the counts and how many parts it took.
fn count(bench: &Bench, tables: u32) -> (TableCounts, u32) {
    let (mut counts, mut rest, mut parts) = (TableCounts::default(), CountCursor::ALL, 0);
    loop {
        parts += 1;
        match bench
            .stage
            .count_tables(&bench.arena, rest, tables, &mut counts)
        {
            None => return (counts, parts),
            Some(next) => {
                assert_ne!(next, rest, "no progress with {tables} tables");
                rest = next;
            }
        }
    }
}

fn filled(width: AddressWidth) -> Bench {
    let mut bench = Bench::new(Geometry { width, ..FULL });
    // Some directories begin at the first address of the directory above, and some do not.
    for giga in [0, 1, 3, 100, 511] {
        for mega in [0, 7, 511] {
            bench
                .map(giga * GIGA + mega * MEGA, PAGE, rw(0))
                .expect("free");
        }
        bench
            .map(giga * GIGA + 20 * MEGA, 2 * MEGA, rw(0))
            .expect("free");
    }
    bench.map(200 * GIGA, 3 * GIGA, rw(0)).expect("free");
    bench
}

#[test]
fn every_table_and_large_page_is_counted_once() {
    for width in [AddressWidth::Bits39, AddressWidth::Bits48] {
        let bench = filled(width);
        let live = bench.arena.live().len() as u64;
        for tables in [4, 5, 6, 7, 100] {
            let (counts, parts) = count(&bench, tables);
            assert_eq!(counts.tables, live, "with {tables} tables");
            assert_eq!((counts.leaves_2m, counts.leaves_1g), (10, 3));
            // There are at least five directories of level 2.
            match tables {
                4 => assert!(parts > 1),
                100 => assert_eq!(parts, 1),
                _ => {}
            }
        }
        bench.release();
    }
}

#[test]
fn an_empty_domain_has_one_table() {
    let bench = Bench::new(FULL);
    let (counts, _) = count(&bench, 4);
    assert_eq!((counts.tables, counts.leaves_2m), (1, 0));
    bench.release();
}

#[test]
fn a_count_reads_no_table_of_level_1() {
    let mut bench = Bench::new(FULL);
    bench.map(0, PAGE, rw(0)).expect("free");
    let live = bench.arena.live();
    let lowest = |page: &&PageId| bench.arena.level(**page) == 1;
    // The arena notices each use of a retired page.
    bench
        .arena
        .retire(*live.iter().find(lowest).expect("a table of level 1"));
    assert_eq!(count(&bench, 4).0.tables, 4);
}
