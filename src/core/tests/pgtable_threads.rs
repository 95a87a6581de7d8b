// SPDX-License-Identifier: GPL-2.0

//! Many threads, disjoint ranges, shared tables.

use crate::pgtable_arena::{Arena, PageId};
use crate::pgtable_model::{GIGA, MEGA, PAGE};
use crate::pgtable_walker::Unit;
use crate::FULL;
use std::sync::Barrier;
use vtd_core::pgtable::{PageTable, Prot};
use vtd_core::spec::address::{Iova, PhysAddr};
use vtd_core::spec::pte::Access;

const THREADS: u64 = 4;
const ROUNDS: u64 = 100;

const UNIT: Unit = Unit {
    aw: 2,
    host_bits: 46,
    large_2m: true,
    large_1g: true,
    snoop_control: true,
};

const PROT: Prot = Prot {
    access: Access::ReadWrite,
    snoop: false,
};

/// The part of one thread in a round: maps, checks that hardware translates it, unmaps, checks that
/// hardware does not.
fn work(arena: &Arena, stage: &PageTable<Arena>, iova: u64, len: u64, retired: &mut Vec<PageId>) {
    let read = |place| arena.hardware_read(place);
    let top = stage.top(arena).phys();
    let walk = |at| UNIT.translate(&read, top, at, true);
    let mut retire = |page| retired.push(page);
    let paddr = PhysAddr::new(iova & 0xfff_ffff_f000);
    stage
        .map(arena, Iova::new(iova), paddr, len, PROT, &mut retire)
        .expect("a separate range");
    for at in [iova, iova + len / 2, iova + len - 1] {
        let reached = walk(at).expect("mapped, so hardware reaches it");
        assert_eq!(reached.phys, at & 0xfff_ffff_ffff);
        let query = stage.query(arena, Iova::new(at)).expect("mapped");
        assert_eq!(query.paddr.raw(), reached.phys);
    }
    let gone = stage.unmap(arena, Iova::new(iova), len, &mut retire);
    assert_eq!((gone.bytes, gone.stop), (len, None));
    for at in [iova, iova + len / 2, iova + len - 1] {
        assert!(walk(at).is_err(), "{at:#x} is still reachable");
    }
}

/// Runs rounds in which thread n works on `place(round, n)`, each with fresh tables. All threads
/// allocate the first `races` tables concurrently. Returns how many of these races were lost.
fn run(races: usize, place: impl Fn(u64, u64) -> (u64, u64) + Sync) -> usize {
    let mut lost = 0;
    for round in 0..ROUNDS {
        let arena = Arena::new(4096);
        let stage = PageTable::new(&arena, FULL).expect("a first page");
        arena.race(THREADS as usize, races);
        let barrier = Barrier::new(THREADS as usize);
        let retired: Vec<PageId> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|n| {
                    let (arena, stage, barrier, place) = (&arena, &stage, &barrier, &place);
                    scope.spawn(move || {
                        let mut retired = Vec::new();
                        barrier.wait();
                        for again in 0..4 {
                            let (iova, len) = place(round + again, n);
                            work(arena, stage, iova, len, &mut retired);
                        }
                        retired
                    })
                })
                .collect();
            let done = threads.into_iter().map(|t| t.join().expect("no panic"));
            done.flatten().collect()
        });
        // Freed only now: until the invalidation, other threads may still read them.
        retired.into_iter().for_each(|page| arena.retire(page));
        let read = |place| arena.hardware_read(place);
        let top = stage.top(&arena).phys();
        let (pages, tables) = UNIT.everything(&read, top).expect("a sound tree");
        assert_eq!(pages, [], "something is still mapped");
        assert_eq!(tables.len(), arena.live().len(), "a table is lost");
        lost += arena.lost_races();
        stage.release(&arena, &mut |page| arena.retire(page));
        assert_eq!(arena.live(), []);
    }
    lost
}

#[test]
fn neighbours_in_one_page_table_do_not_disturb_each_other() {
    run(0, |round, n| {
        ((round % 2) * GIGA + n * 64 * PAGE, 64 * PAGE)
    });
}

#[test]
fn one_thread_installs_a_table_and_all_use_it() {
    // The top table exists; all threads need three more.
    let lost = run(3, |_, n| (n * PAGE, PAGE));
    assert_eq!(lost as u64, ROUNDS * 3 * (THREADS - 1));
}

#[test]
fn neighbours_across_page_tables_do_not_disturb_each_other() {
    // Each range covers one page table whole and shares one at either end.
    run(0, |round, n| {
        let base = (round % 3) * 512 * GIGA + GIGA - 2 * MEGA - 7 * PAGE;
        (base + n * (2 * MEGA + PAGE), 2 * MEGA + PAGE)
    });
}

#[test]
fn large_and_small_pages_side_by_side_do_not_disturb_each_other() {
    run(0, |round, n| {
        let slot = (round + n) % THREADS;
        match n % 2 {
            0 => (n * 8 * MEGA, 4 * MEGA + slot * PAGE),
            _ => (n * 8 * MEGA + slot * PAGE, 2 * MEGA),
        }
    });
}
