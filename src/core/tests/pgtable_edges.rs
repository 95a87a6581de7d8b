// SPDX-License-Identifier: GPL-2.0

//! Single requests: which are refused, which page sizes are chosen, where an unmap ends.

use crate::pgtable_model::{Bench, Page, GIGA, MEGA, PAGE};
use crate::{rw, FULL};
use std::ops::ControlFlow;
use vtd_core::pgtable::{Geometry, MapError, MapFailed, UnmapStop, VisitEnd};
use vtd_core::spec::address::{Iova, PhysAddr};
use vtd_core::spec::level::AddressWidth;

fn refusal(geometry: Geometry, iova: u64, len: u64, page: Page) -> MapError {
    let mut bench = Bench::new(geometry);
    let MapFailed { error, undone } = bench
        .map_raw(iova, len, page)
        .expect_err("this request is to be refused");
    assert_eq!(undone, 0);
    bench.check();
    error
}

#[test]
fn unaligned_requests_are_refused() {
    for (iova, phys, len) in [
        (1, 0, PAGE),
        (0, 0x800, PAGE),
        (0, 0, 0xfff),
        (0, 0, PAGE + 1),
    ] {
        let expected = MapError::Unaligned {
            iova: Iova::new(iova),
            paddr: PhysAddr::new(phys),
            len,
        };
        assert_eq!(refusal(FULL, iova, len, rw(phys)), expected);
    }
}

#[test]
fn an_empty_request_is_refused() {
    assert_eq!(refusal(FULL, 0, 0, rw(0)), MapError::Empty);
    assert_eq!(refusal(FULL, 1, 0, rw(0)), MapError::Empty);
}

#[test]
fn a_request_ends_within_the_aperture() {
    for (width, input_bits, bits) in [
        (AddressWidth::Bits39, 57, 39),
        (AddressWidth::Bits48, 46, 46),
        (AddressWidth::Bits48, 57, 48),
        (AddressWidth::Bits57, 57, 57),
    ] {
        let geometry = Geometry {
            width,
            input_bits,
            ..FULL
        };
        let end = 1u64 << bits;
        for (iova, len) in [
            (end, PAGE),
            (end - PAGE, 2 * PAGE),
            (0, end + PAGE),
            (PAGE, end),
            (u64::MAX - PAGE + 1, PAGE),
            (PAGE, u64::MAX - PAGE + 1),
            (u64::MAX - PAGE + 1, 2 * PAGE),
        ] {
            let expected = MapError::OutsideAperture {
                iova: Iova::new(iova),
                len,
                last: Iova::new(end - 1),
            };
            assert_eq!(refusal(geometry, iova, len, rw(0)), expected);
        }
        let mut bench = Bench::new(geometry);
        bench.map(end - PAGE, PAGE, rw(0)).expect("the last page");
        bench.check();
        bench.check_address(end);
        assert_eq!(bench.unmap(end - PAGE, PAGE), (PAGE, None));
        bench.release();
    }
}

#[test]
fn memory_beyond_the_host_width_is_refused() {
    let end = 1u64 << 46;
    for (phys, len) in [
        (end, PAGE),
        (end - PAGE, 2 * PAGE),
        (u64::MAX - 0xfff, PAGE),
    ] {
        let expected = MapError::OutsideMemory {
            paddr: PhysAddr::new(phys),
            len,
            last: PhysAddr::new(end - 1),
        };
        assert_eq!(refusal(FULL, 0, len, rw(phys)), expected);
    }
    let mut bench = Bench::new(FULL);
    bench.map(0, PAGE, rw(end - PAGE)).expect("the last page");
    bench.check();
}

#[test]
fn snooping_is_refused_without_snoop_control() {
    let plain = Geometry {
        snoop_control: false,
        ..FULL
    };
    let snooping = Page {
        snoop: true,
        ..rw(0)
    };
    assert_eq!(refusal(plain, 0, PAGE, snooping), MapError::NoSnoopControl);
    let mut bench = Bench::new(FULL);
    bench.map(0, MEGA + PAGE, snooping).expect("a free range");
    bench.check();
}

#[test]
fn permissions_are_those_asked_for_at_every_page_size() {
    for (read, write) in [(true, false), (false, true), (true, true)] {
        let mut bench = Bench::new(FULL);
        let page = Page {
            read,
            write,
            ..rw(0)
        };
        bench.map(GIGA, 2 * GIGA + MEGA + PAGE, page).expect("free");
        bench.check();
    }
}

#[test]
fn the_largest_pages_come_first() {
    let mut bench = Bench::new(FULL);
    let (start, end) = (0x3f_e400 * PAGE, 0x4c_0600 * PAGE);
    bench.map(start, end - start, rw(start)).expect("free");
    let count = |size| {
        bench
            .model
            .pages
            .values()
            .filter(|p| p.bytes == size)
            .count()
    };
    // 14 pages of 2M up to the first 1G boundary, 3 of 1G, 3 of 2M.
    assert_eq!((count(GIGA), count(MEGA), count(PAGE)), (3, 17, 0));
    bench.check();
}

#[test]
fn a_unit_without_large_pages_gets_none() {
    for (large_2m, large_1g) in [(false, false), (true, false), (false, true)] {
        let geometry = Geometry {
            large_2m,
            large_1g,
            ..FULL
        };
        // Without 2M, a range of 1G would cost the test a quarter of a million entries.
        let lengths = if large_2m {
            [GIGA, GIGA + MEGA, 2 * GIGA]
        } else {
            [MEGA, 2 * MEGA, 4 * MEGA + PAGE]
        };
        for len in lengths {
            let mut bench = Bench::new(geometry);
            // Neighbours, so that the tables for the fast path exist.
            bench.map(0, PAGE, rw(0)).expect("free");
            if !large_2m {
                bench.map(GIGA + 64 * MEGA, PAGE, rw(0)).expect("free");
            }
            bench.map(GIGA, len, rw(GIGA)).expect("free");
            bench.check();
            assert_eq!(bench.unmap(GIGA, len), (len, None));
            bench.check();
            bench.release();
        }
    }
}

#[test]
fn a_second_map_is_refused_and_changes_nothing() {
    let mut bench = Bench::new(FULL);
    bench.map(MEGA, PAGE, rw(0)).expect("free");
    for (iova, len, phys) in [
        (MEGA, PAGE, 0),
        (0, 2 * MEGA, 0),
        (MEGA - 4 * PAGE, 8 * PAGE, 0),
        (0, GIGA, 0),
        (0, 2 * MEGA, PAGE),
    ] {
        bench.map(iova, len, rw(phys)).expect_err("in use");
        bench.check();
    }
    assert_eq!(bench.unmap(MEGA, PAGE), (PAGE, None));
    bench.map(0, GIGA, rw(0)).expect("free again");
    for (iova, len) in [
        (PAGE, PAGE),
        (MEGA, MEGA),
        (0, GIGA),
        (GIGA - PAGE, 2 * PAGE),
    ] {
        bench.map(iova, len, rw(0)).expect_err("in use");
        bench.check();
    }
}

#[test]
fn the_memory_of_one_whole_page_is_returned_and_no_other() {
    let mut bench = Bench::new(FULL);
    bench.map(PAGE, PAGE, rw(5 * PAGE)).expect("free");
    bench.map(MEGA, MEGA, rw(0)).expect("free");
    let end = 1 << FULL.width.bits();
    for (iova, len) in [
        (PAGE + 8, PAGE),
        (PAGE, PAGE - 1),
        (PAGE, 2 * PAGE),
        (2 * PAGE, PAGE),
        (MEGA, PAGE),
        (end + PAGE, PAGE),
    ] {
        let got = bench.stage.unmap_page(&bench.arena, Iova::new(iova), len);
        assert_eq!(got, None, "{iova:#x}+{len:#x}");
        bench.check();
    }
    let got = bench.stage.unmap_page(&bench.arena, Iova::new(PAGE), PAGE);
    assert_eq!(got, Some(PhysAddr::new(5 * PAGE)));
}

#[test]
fn an_unmap_stops_at_the_first_hole() {
    let mut bench = Bench::new(FULL);
    bench.map(0, 8 * PAGE, rw(0)).expect("free");
    bench.map(9 * PAGE, PAGE, rw(0)).expect("free");
    assert_eq!(bench.unmap(0, 10 * PAGE), (8 * PAGE, Some(UnmapStop::Hole)));
    bench.check();
    assert_eq!(bench.unmap(0, GIGA), (0, Some(UnmapStop::Hole)));
    bench.map(MEGA - PAGE, 3 * MEGA, rw(PAGE)).expect("free");
    bench.map(5 * MEGA, MEGA, rw(0)).expect("free");
    let got = bench.unmap(MEGA - PAGE, GIGA);
    assert_eq!(got, (3 * MEGA, Some(UnmapStop::Hole)));
    bench.check();
}

#[test]
fn a_large_page_is_removed_whole_or_not_at_all() {
    for (size, part) in [
        (MEGA, PAGE),
        (GIGA, PAGE),
        (GIGA, MEGA),
        (MEGA, MEGA - PAGE),
    ] {
        let mut bench = Bench::new(FULL);
        bench.map(size, 2 * size, rw(0)).expect("free");
        for len in [PAGE, MEGA, size] {
            let inside = bench.unmap(size + part, len);
            assert_eq!(inside, (0, Some(UnmapStop::InsideLeaf)));
            bench.check();
        }
        assert_eq!(bench.unmap(size, part), (size, None));
        bench.check();
        assert_eq!(bench.unmap(2 * size, size), (size, None));
        bench.check();
        bench.release();
    }
}

#[test]
fn an_unmap_outside_the_aperture_does_nothing() {
    let mut bench = Bench::new(FULL);
    bench.map(0, PAGE, rw(0)).expect("free");
    for (iova, len, stop) in [
        (1, PAGE, UnmapStop::Unaligned),
        (0, 1, UnmapStop::Unaligned),
        (0, 0, UnmapStop::OutsideAperture),
        (0, (1 << 48) + PAGE, UnmapStop::OutsideAperture),
        (1 << 48, PAGE, UnmapStop::OutsideAperture),
        (u64::MAX - 0xfff, PAGE, UnmapStop::OutsideAperture),
    ] {
        let (arena, retired) = (&bench.arena, &mut bench.retired);
        let got = bench
            .stage
            .unmap(arena, Iova::new(iova), len, &mut |page| retired.push(page));
        assert_eq!((got.bytes, got.stop), (0, Some(stop)));
        bench.check();
    }
}

#[test]
fn the_whole_aperture_can_be_unmapped_in_one_call() {
    let mut bench = Bench::new(FULL);
    bench.map(0, 512 * GIGA, rw(0)).expect("free");
    assert_eq!(bench.unmap(0, 1 << 48), (512 * GIGA, Some(UnmapStop::Hole)));
    bench.check();
    bench.release();
}

#[test]
fn a_visit_shows_the_path_and_resumes_where_it_stopped() {
    let mut bench = Bench::new(FULL);
    for iova in [0, 5 * PAGE, MEGA, 7 * GIGA, 512 * GIGA + 3 * PAGE] {
        let len = if iova == MEGA { MEGA } else { PAGE };
        bench.map(iova, len, rw(0)).expect("free");
    }
    bench.map(8 * GIGA, GIGA, rw(0)).expect("free");
    bench.check();
    let (mut from, mut seen) = (Iova::new(0), Vec::new());
    for _ in 0..2 * bench.model.pages.len() {
        let flow = bench.stage.visit(&bench.arena, from, &mut |visit| {
            let read = |place| bench.arena.hardware_read(place).expect("a table");
            let mut table = bench.top();
            for level in (usize::from(visit.level.number())..=4).rev() {
                let index = (visit.iova.raw() >> (3 + 9 * level)) & 0x1ff;
                let entry = visit.path[level - 1];
                assert_eq!(entry & !(1 << 52), read(table + 8 * index), "level {level}");
                table = entry & 0x000f_ffff_ffff_f000;
            }
            seen.push(visit.iova.raw());
            from = Iova::new(visit.iova.raw() + visit.level.entry_span());
            ControlFlow::Break(())
        });
        if flow == ControlFlow::Continue(()) {
            break;
        }
    }
    let expected: Vec<u64> = bench.model.pages.keys().copied().collect();
    assert_eq!(seen, expected);
}

#[test]
fn a_visit_in_parts_sees_every_leaf_and_is_bounded() {
    let mut bench = Bench::new(FULL);
    for iova in [0, 5 * PAGE, MEGA, 7 * GIGA, 512 * GIGA + 3 * PAGE] {
        let len = if iova == MEGA { MEGA } else { PAGE };
        bench.map(iova, len, rw(0)).expect("free");
    }
    // Tables that were emptied piece by piece stay, and a visit enters them without finding a leaf.
    for table in 0..20 {
        bench.map(GIGA + table * MEGA, PAGE, rw(0)).expect("free");
        bench.unmap(GIGA + table * MEGA, PAGE);
    }
    for tables in 4..9 {
        let (mut from, mut seen, mut parts) = (Iova::new(0), Vec::new(), 0);
        loop {
            let end = bench
                .stage
                .visit_part(&bench.arena, from, tables, &mut |visit| {
                    seen.push(visit.iova.raw());
                    ControlFlow::Continue(())
                });
            parts += 1;
            match end {
                VisitEnd::At(next) => {
                    assert!(
                        next > from,
                        "no progress from {from:?} with {tables} tables"
                    );
                    from = next;
                }
                VisitEnd::Done => break,
                VisitEnd::Broken => unreachable!("the visitor never breaks"),
            }
        }
        let whole: Vec<u64> = bench.model.pages.keys().copied().collect();
        assert_eq!(seen, whole, "with {tables} tables");
        // 26 tables of level 1, and each part enters fewer than it may.
        assert!(parts > 26 / tables, "{parts} parts with {tables} tables");
    }
    bench.release();
}
