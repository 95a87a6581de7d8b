// SPDX-License-Identifier: GPL-2.0

//! The way of an address: every entry that hardware reads, in order, and what hardware makes of it.

use crate::pgtable_model::{Bench, Page, GIGA, MEGA, PAGE};
use crate::pgtable_walker::Refusal;
use crate::{rw, FULL};
use vtd_core::pgtable::{Fate, Geometry, Way};
use vtd_core::spec::address::{Iova, PhysAddr};
use vtd_core::spec::fault::FaultReason;
use vtd_core::spec::level::{AddressWidth, Level};

/// Set by the driver where hardware ignores it: a link was written back.
const IGNORED: u64 = 1 << 52;

/// The way of `iova`, and the steps as hardware would read them: level, place, what is there.
fn walked(bench: &Bench, iova: u64) -> (Way, Vec<(Level, u64, u64)>) {
    let mut steps = Vec::new();
    let way = bench.stage.way(&bench.arena, Iova::new(iova), &mut |step| {
        let place = step.table.phys() + step.index as u64 * 8;
        steps.push((step.level, place, step.entry.raw()));
    });
    (way, steps)
}

/// Holds the way of `iova` to the walk of hardware.
pub(crate) fn check(bench: &Bench, iova: u64) {
    let (way, steps) = walked(bench, iova);
    let last = bench.stage.geometry().last_iova().raw();
    let mut table = bench.top();
    for (index, &(level, place, entry)) in steps.iter().enumerate() {
        let levels = bench.stage.geometry().width.levels();
        assert_eq!(level.number(), levels - index as u8, "{iova:#x}");
        let low = 12 + 9 * (u32::from(level.number()) - 1);
        assert_eq!(place, table + (iova >> low & 511) * 8, "{iova:#x}");
        let held = bench.arena.hardware_read(place).expect("a table in use");
        assert_eq!(entry & !IGNORED, held & !IGNORED, "{iova:#x}");
        table = entry & 0x000f_ffff_ffff_f000;
    }
    assert_eq!(steps.is_empty(), iova > last, "{iova:#x}");
    let read = |place| bench.arena.hardware_read(place);
    for (write, fate) in [(false, way.read), (true, way.write)] {
        let expected = match bench.unit.translate(&read, bench.top(), iova, write) {
            _ if iova > last => Err(4),
            Ok(reached) => Ok(reached.phys),
            Err(Refusal::BeyondWidth) => Err(4),
            Err(Refusal::NotAllowed) => Err(if write { 5 } else { 6 }),
            Err(Refusal::TableUnreadable(_)) => Err(7),
            Err(Refusal::ReservedBits(_)) => Err(0xc),
        };
        let found = match fate {
            Fate::Reaches(phys) => Ok(phys.raw()),
            Fate::Refused { reason, level } => {
                assert_eq!(level.is_none(), iova > last, "{iova:#x}");
                Err(reason.code())
            }
        };
        assert_eq!(found, expected, "{iova:#x}, write {write}");
    }
}

const fn refused(code: u8, level: Level) -> Fate {
    Fate::Refused {
        reason: FaultReason::new(code),
        level: Some(level),
    }
}

fn nothing_at(level: Level) -> Way {
    Way {
        read: refused(6, level),
        write: refused(5, level),
    }
}

#[test]
fn it_ends_at_the_first_entry_that_is_absent() {
    let mut bench = Bench::new(FULL);
    assert_eq!(walked(&bench, 0).0, nothing_at(Level::L4));
    bench.map(GIGA, PAGE, rw(0x5000)).expect("free");
    for (iova, level) in [
        (1 << 39, Level::L4),
        (0, Level::L3),
        (GIGA + MEGA, Level::L2),
        (GIGA + PAGE, Level::L1),
    ] {
        let (way, steps) = walked(&bench, iova);
        assert_eq!(way, nothing_at(level), "{iova:#x}");
        assert_eq!(steps.last().map(|step| (step.0, step.2)), Some((level, 0)));
        check(&bench, iova);
    }
    let (way, steps) = walked(&bench, GIGA + 0x123);
    let there = Fate::Reaches(PhysAddr::new(0x5123));
    assert_eq!(
        way,
        Way {
            read: there,
            write: there
        }
    );
    assert_eq!(steps.len(), 4);
}

#[test]
fn a_page_for_one_kind_refuses_the_other() {
    let mut bench = Bench::new(FULL);
    for (iova, read, write) in [(0, true, false), (MEGA, false, true)] {
        let page = Page {
            read,
            write,
            ..rw(2 * MEGA)
        };
        bench.map(iova, MEGA, page).expect("free");
        let (way, steps) = walked(&bench, iova + 7);
        let there = Fate::Reaches(PhysAddr::new(2 * MEGA + 7));
        let expected = if read {
            Way {
                read: there,
                write: refused(5, Level::L2),
            }
        } else {
            Way {
                read: refused(6, Level::L2),
                write: there,
            }
        };
        assert_eq!((way, steps.len()), (expected, 3));
        check(&bench, iova + 7);
    }
}

#[test]
fn beyond_the_aperture_no_table_is_asked() {
    let bench = Bench::new(Geometry {
        width: AddressWidth::Bits39,
        ..FULL
    });
    for iova in [1 << 39, u64::MAX] {
        let (way, steps) = walked(&bench, iova);
        assert_eq!(way, Way::closed(FaultReason::new(4)));
        assert!(steps.is_empty());
    }
}

/// Spoils the entry of `level` on the way of `iova` by xor, and returns the way of that.
fn spoiled(bench: &Bench, iova: u64, level: Level, bits: u64) -> Way {
    let (_, steps) = walked(bench, iova);
    let &(_, place, entry) = steps.iter().find(|step| step.0 == level).expect("a step");
    bench.arena.spoil(place, entry ^ bits);
    let (way, steps) = walked(bench, iova);
    assert!(!steps.is_empty());
    check(bench, iova);
    bench.arena.spoil(place, entry);
    check(bench, iova);
    way
}

#[test]
fn spoiled_tables_are_judged_as_hardware_judges_them() {
    let mut bench = Bench::new(FULL);
    bench.map(0, PAGE, rw(0x7000)).expect("free");
    bench.map(GIGA, GIGA, rw(GIGA)).expect("free");
    let there = Fate::Reaches(PhysAddr::new(0x7000));
    // A link that does not permit writes: reads go on below it.
    let way = spoiled(&bench, 0, Level::L3, 2);
    assert_eq!((way.read, way.write), (there, refused(5, Level::L3)));
    let way = spoiled(&bench, 0, Level::L2, 1);
    assert_eq!((way.read, way.write), (refused(6, Level::L2), there));
    // Bits that are reserved: beyond memory, a page size where there is none, within a large page.
    for (iova, level, bits) in [
        (0, Level::L1, 1 << 50),
        (0, Level::L4, 0x80),
        (0, Level::L2, 0x800),
        (GIGA, Level::L3, 0x1000),
        (0, Level::L1, 1 << 62),
    ] {
        let way = spoiled(&bench, iova, level, bits);
        let both = (refused(0xc, level), refused(0xc, level));
        assert_eq!((way.read, way.write), both, "{level:?} {bits:#x}");
    }
    // What is not permitted is said first.
    let way = spoiled(&bench, 0, Level::L1, 1 << 50 | 2);
    let both = (refused(0xc, Level::L1), refused(5, Level::L1));
    assert_eq!((way.read, way.write), both);
}

#[test]
fn a_page_of_a_size_that_the_unit_lacks_is_reserved() {
    let mut bench = Bench::new(Geometry {
        large_2m: false,
        ..FULL
    });
    bench.map(0, PAGE, rw(0)).expect("free");
    let (_, steps) = walked(&bench, 0);
    bench.arena.spoil(steps[2].1, MEGA | 0x83);
    let both = refused(0xc, Level::L2);
    let way = Way {
        read: both,
        write: both,
    };
    assert_eq!(walked(&bench, 0).0, way);
    check(&bench, 0);
}
