// SPDX-License-Identifier: GPL-2.0

//! Table pages: when they are allocated and retired, what happens without memory, what is flushed.

use crate::pgtable_model::{Bench, GIGA, MEGA, PAGE};
use crate::{rw, FULL};
use vtd_core::pgtable::{Geometry, MapError};
use vtd_core::spec::level::AddressWidth;

fn tables(bench: &Bench) -> usize {
    bench.arena.live().len()
}

#[test]
fn a_page_costs_one_table_per_level() {
    for (width, levels) in [
        (AddressWidth::Bits39, 3),
        (AddressWidth::Bits48, 4),
        (AddressWidth::Bits57, 5),
    ] {
        let mut bench = Bench::new(Geometry { width, ..FULL });
        assert_eq!(tables(&bench), 1);
        bench.map(0, PAGE, rw(0)).expect("free");
        assert_eq!(tables(&bench), levels);
        bench.map(PAGE, 511 * PAGE, rw(0)).expect("free");
        assert_eq!(tables(&bench), levels);
        bench.release();
    }
}

#[test]
fn covered_tables_are_retired_and_others_stay() {
    let mut bench = Bench::new(FULL);
    bench.map(GIGA, GIGA, rw(PAGE)).expect("free");
    assert_eq!(tables(&bench), 3 + 512);
    assert_eq!(bench.unmap(GIGA, MEGA), (MEGA, None));
    assert_eq!(tables(&bench), 3 + 511);
    assert_eq!(
        bench.unmap(GIGA + MEGA, 3 * MEGA - PAGE),
        (3 * MEGA - PAGE, None)
    );
    assert_eq!(tables(&bench), 3 + 509);
    bench.check();
    assert_eq!(
        bench
            .unmap(GIGA + 4 * MEGA - PAGE, GIGA - 4 * MEGA + PAGE)
            .1,
        None
    );
    bench.check();
    // One page table was emptied in two steps: it and its directory stay.
    assert_eq!(tables(&bench), 4);
    bench.release();
}

#[test]
fn unmapping_everything_leaves_only_the_top_table() {
    let mut bench = Bench::new(Geometry {
        width: AddressWidth::Bits39,
        ..FULL
    });
    bench.map(0, GIGA, rw(PAGE)).expect("free");
    assert_eq!(bench.unmap(0, GIGA), (GIGA, None));
    assert_eq!(tables(&bench), 1);
    bench.check();
    bench.release();
}

#[test]
fn an_empty_table_is_replaced_by_a_large_page() {
    for (size, step) in [(MEGA, PAGE), (GIGA, MEGA)] {
        let mut bench = Bench::new(FULL);
        bench.map(0, 2 * size, rw(step)).expect("free");
        let all: Vec<u64> = bench.model.pages.keys().copied().collect();
        for iova in all {
            let bytes = bench.model.pages[&iova].bytes;
            assert_eq!(bench.unmap(iova, bytes), (bytes, None));
        }
        let before = tables(&bench);
        bench.map(0, 2 * size, rw(0)).expect("free");
        assert!(bench.model.pages.values().all(|page| page.bytes == size));
        assert_eq!(tables(&bench), before - 2);
        bench.check();
        bench.release();
    }
}

#[test]
fn an_empty_tree_is_replaced_by_a_page_of_1g() {
    let mut bench = Bench::new(FULL);
    for iova in [0, 3 * MEGA, GIGA - PAGE] {
        bench.map(iova, PAGE, rw(0)).expect("free");
        assert_eq!(bench.unmap(iova, PAGE), (PAGE, None));
    }
    assert_eq!(tables(&bench), 3 + 3);
    bench.map(0, GIGA, rw(0)).expect("free");
    // The directory and its three page tables are gone.
    assert_eq!(tables(&bench), 2);
    bench.check();
    bench.release();
}

#[test]
fn a_table_in_use_is_not_replaced() {
    for page in [0, 1, 511] {
        let mut bench = Bench::new(FULL);
        bench.map(MEGA + page * PAGE, PAGE, rw(0)).expect("free");
        bench.map(0, 2 * MEGA, rw(0)).expect_err("in use");
        bench.check();
        bench.map(0, GIGA, rw(0)).expect_err("in use");
        bench.check();
    }
}

#[test]
fn a_map_without_memory_changes_nothing_and_can_be_repeated() {
    for (iova, len, phys) in [
        (0, PAGE, 0),
        (MEGA - PAGE, 2 * PAGE, 0),
        (GIGA - 2 * MEGA - PAGE, 4 * MEGA, 0),
        (512 * GIGA - MEGA, 2 * MEGA, PAGE),
        (
            512 * GIGA - GIGA - MEGA - PAGE,
            2 * GIGA + MEGA,
            GIGA - MEGA - PAGE,
        ),
    ] {
        for width in AddressWidth::WIDEST_FIRST {
            let geometry = Geometry { width, ..FULL };
            if iova + len > geometry.last_iova().raw() {
                continue;
            }
            let mut allowed = 0;
            loop {
                let mut bench = Bench::new(geometry);
                // A neighbour whose tables must survive.
                bench
                    .map(GIGA + 4 * MEGA, 3 * PAGE, rw(PAGE))
                    .expect("free");
                bench.arena.limit(allowed);
                let result = bench.map_raw(iova, len, rw(phys));
                bench.collect();
                bench.arena.limit(i64::MAX);
                if result.is_ok() {
                    break;
                }
                assert_eq!(result.map_err(|e| e.error), Err(MapError::OutOfMemory));
                bench.check();
                bench.map(iova, len, rw(phys)).expect("memory is back");
                bench.check();
                bench.release();
                allowed += 1;
            }
            assert!(allowed > 0, "no allocation was refused");
        }
    }
}

#[test]
fn an_unmap_needs_no_memory() {
    let mut bench = Bench::new(FULL);
    bench.map(PAGE, GIGA, rw(0)).expect("free");
    bench.arena.limit(0);
    assert_eq!(bench.unmap(PAGE, GIGA), (GIGA, None));
    bench.check();
}

#[test]
fn a_failed_map_reports_what_hardware_may_have_cached() {
    let mut bench = Bench::new(FULL);
    bench.map(8 * PAGE, PAGE, rw(0)).expect("free");
    let failed = bench.map(0, 16 * PAGE, rw(0)).expect_err("in use");
    assert_eq!(failed.undone, 8 * PAGE);
    bench.arena.limit(0);
    let failed = bench.map_raw(MEGA - PAGE, 2 * PAGE, rw(0));
    let failed = failed.expect_err("no table for the second page");
    assert_eq!((failed.error, failed.undone), (MapError::OutOfMemory, PAGE));
}

#[test]
fn a_run_of_entries_is_flushed_once() {
    let mut bench = Bench::new(FULL);
    bench.map(0, PAGE, rw(0)).expect("free");
    let count = |bench: &mut Bench, map: bool, iova, len, phys| {
        let before = bench.arena.flushes();
        if map {
            bench.map(iova, len, rw(phys)).expect("free");
        } else {
            assert_eq!(bench.unmap(iova, len), (len, None));
        }
        bench.arena.flushes() - before
    };
    assert_eq!(count(&mut bench, true, PAGE, 256 * PAGE, 0), 1);
    assert_eq!(count(&mut bench, false, PAGE, 256 * PAGE, 0), 1);
    assert_eq!(count(&mut bench, true, GIGA, 256 * MEGA, 0), 1);
    assert_eq!(count(&mut bench, false, GIGA, 256 * MEGA, 0), 1);
    // Two page tables, the second to its end; then only the links of the directory: hardware need
    // not see leaves that were cleared in tables that are no longer linked.
    assert_eq!(count(&mut bench, true, 2 * MEGA, 2 * MEGA, PAGE), 2);
    assert_eq!(count(&mut bench, false, 2 * MEGA, 2 * MEGA, PAGE), 1);
    bench.check();
}
