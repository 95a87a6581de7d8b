// SPDX-License-Identifier: GPL-2.0

//! Tests of the trace of an address: every entry that hardware reads, in order, and the outcome.

use crate::pgtable_arena::PageId;
use crate::pgtable_model::{Bench, Page, GIGA, MEGA, PAGE};
use crate::pgtable_walker::Refusal;
use crate::{rw, FULL};
use vtd_core::pgtable::{Geometry, TraceStep, WalkOutcome, WalkTrace};
use vtd_core::spec::address::{Iova, PhysAddr};
use vtd_core::spec::fault::FaultReason;
use vtd_core::spec::level::{AddressWidth, Level};
use vtd_core::spec::registers::TranslationTableMode::{self, Legacy, Scalable};

/// An ignored bit that the driver sets after a link was written back.
const IGNORED: u64 = 1 << 52;

/// A step as hardware would read it: level, address, entry.
type Step = (Level, u64, u64);

/// Returns the trace of `iova` in this mode, and its steps.
fn trace_in(mode: TranslationTableMode, bench: &Bench, iova: u64) -> (WalkTrace, Vec<Step>) {
    let mut steps = Vec::new();
    let see = &mut |step: TraceStep<PageId>| {
        let place = step.table.phys() + step.index as u64 * 8;
        steps.push((step.level, place, step.entry));
    };
    let trace = bench
        .stage
        .trace_walk(&bench.arena, Iova::new(iova), mode, see);
    (trace, steps)
}

/// The same in legacy mode.
fn trace_of(bench: &Bench, iova: u64) -> (WalkTrace, Vec<Step>) {
    trace_in(Legacy, bench, iova)
}

/// Returns the reason with which a unit refuses an access, in legacy and in scalable mode.
fn reasons(refusal: &Refusal, write: bool, entry: u64) -> (u8, u8) {
    match (refusal, write) {
        (Refusal::BeyondWidth, _) => (4, 0x84),
        (Refusal::NotAllowed, true) => (5, if entry & 3 == 0 { 0x79 } else { 0x85 }),
        (Refusal::NotAllowed, false) => (6, if entry & 3 == 0 { 0x79 } else { 0x86 }),
        (Refusal::TableUnreadable(_), _) => (7, 0x78),
        (Refusal::ReservedBits(_), _) => (0xc, 0x7a),
    }
}

/// Compares the trace of `iova` with the hardware walk, in either mode.
pub(crate) fn check(bench: &Bench, iova: u64) {
    check_in(Legacy, bench, iova);
    check_in(Scalable, bench, iova);
}

fn check_in(mode: TranslationTableMode, bench: &Bench, iova: u64) {
    let (trace, steps) = trace_in(mode, bench, iova);
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
    for (write, outcome) in [(false, trace.read), (true, trace.write)] {
        let (found, level) = match outcome {
            WalkOutcome::Translated(phys) => (Ok(phys.raw()), None),
            WalkOutcome::Faulted { reason, level } => {
                assert_eq!(level.is_none(), iova > last, "{iova:#x}");
                (Err(reason.code()), level)
            }
        };
        let at = steps.iter().find(|step| Some(step.0) == level);
        let refused = |refusal| {
            let (legacy, scalable) = reasons(&refusal, write, at.map_or(0, |step| step.2));
            match mode {
                Legacy => legacy,
                Scalable => scalable,
            }
        };
        let expected = match bench.unit.translate(&read, bench.top(), iova, write) {
            _ if iova > last => Err(refused(Refusal::BeyondWidth)),
            reached => reached.map(|reached| reached.phys).map_err(refused),
        };
        assert_eq!(found, expected, "{iova:#x}, write {write}, {mode:?}");
    }
}

const fn faulted(code: u8, level: Level) -> WalkOutcome {
    WalkOutcome::Faulted {
        reason: FaultReason::new(code),
        level: Some(level),
    }
}

fn absent_at(level: Level) -> WalkTrace {
    WalkTrace {
        read: faulted(6, level),
        write: faulted(5, level),
    }
}

#[test]
fn a_walk_ends_at_the_first_absent_entry() {
    let mut bench = Bench::new(FULL);
    assert_eq!(trace_of(&bench, 0).0, absent_at(Level::L4));
    bench.map(GIGA, PAGE, rw(0x5000)).expect("free");
    for (iova, level) in [
        (1 << 39, Level::L4),
        (0, Level::L3),
        (GIGA + MEGA, Level::L2),
        (GIGA + PAGE, Level::L1),
    ] {
        let (trace, steps) = trace_of(&bench, iova);
        assert_eq!(trace, absent_at(level), "{iova:#x}");
        assert_eq!(steps.last().map(|step| (step.0, step.2)), Some((level, 0)));
        check(&bench, iova);
    }
    let (trace, steps) = trace_of(&bench, GIGA + 0x123);
    let there = WalkOutcome::Translated(PhysAddr::new(0x5123));
    assert_eq!(
        trace,
        WalkTrace {
            read: there,
            write: there
        }
    );
    assert_eq!(steps.len(), 4);
}

#[test]
fn a_read_only_page_refuses_writes_and_the_reverse() {
    let mut bench = Bench::new(FULL);
    for (iova, read, write) in [(0, true, false), (MEGA, false, true)] {
        let page = Page {
            read,
            write,
            ..rw(2 * MEGA)
        };
        bench.map(iova, MEGA, page).expect("free");
        let (trace, steps) = trace_of(&bench, iova + 7);
        let there = WalkOutcome::Translated(PhysAddr::new(2 * MEGA + 7));
        let expected = if read {
            WalkTrace {
                read: there,
                write: faulted(5, Level::L2),
            }
        } else {
            WalkTrace {
                read: faulted(6, Level::L2),
                write: there,
            }
        };
        assert_eq!((trace, steps.len()), (expected, 3));
        check(&bench, iova + 7);
    }
}

#[test]
fn beyond_the_aperture_no_table_is_read() {
    let bench = Bench::new(Geometry {
        width: AddressWidth::Bits39,
        ..FULL
    });
    for iova in [1 << 39, u64::MAX] {
        let (trace, steps) = trace_of(&bench, iova);
        assert_eq!(trace, WalkTrace::faulted(FaultReason::new(4)));
        assert!(steps.is_empty());
    }
}

/// Corrupts the entry of `level` in the walk of `iova` by xor, and returns the trace.
fn trace_spoiled(bench: &Bench, iova: u64, level: Level, bits: u64) -> WalkTrace {
    let (_, steps) = trace_of(bench, iova);
    let &(_, place, entry) = steps.iter().find(|step| step.0 == level).expect("a step");
    bench.arena.spoil(place, entry ^ bits);
    let (trace, steps) = trace_of(bench, iova);
    assert!(!steps.is_empty());
    check(bench, iova);
    bench.arena.spoil(place, entry);
    check(bench, iova);
    trace
}

#[test]
fn corrupted_tables_fault_as_on_hardware() {
    let mut bench = Bench::new(FULL);
    bench.map(0, PAGE, rw(0x7000)).expect("free");
    bench.map(GIGA, GIGA, rw(GIGA)).expect("free");
    let there = WalkOutcome::Translated(PhysAddr::new(0x7000));
    // A link that does not permit writes: reads continue below it.
    let trace = trace_spoiled(&bench, 0, Level::L3, 2);
    assert_eq!((trace.read, trace.write), (there, faulted(5, Level::L3)));
    let trace = trace_spoiled(&bench, 0, Level::L2, 1);
    assert_eq!((trace.read, trace.write), (faulted(6, Level::L2), there));
    // Reserved bits: an address beyond memory, a page size where none is allowed, within a large
    // page.
    for (iova, level, bits) in [
        (0, Level::L1, 1 << 50),
        (0, Level::L4, 0x80),
        (0, Level::L2, 0x800),
        (GIGA, Level::L3, 0x1000),
        (0, Level::L1, 1 << 62),
    ] {
        let trace = trace_spoiled(&bench, iova, level, bits);
        let both = (faulted(0xc, level), faulted(0xc, level));
        assert_eq!((trace.read, trace.write), both, "{level:?} {bits:#x}");
    }
    // A missing permission takes precedence.
    let trace = trace_spoiled(&bench, 0, Level::L1, 1 << 50 | 2);
    let both = (faulted(0xc, Level::L1), faulted(5, Level::L1));
    assert_eq!((trace.read, trace.write), both);
}

#[test]
fn an_unsupported_page_size_is_a_reserved_bit() {
    let mut bench = Bench::new(Geometry {
        large_2m: false,
        ..FULL
    });
    bench.map(0, PAGE, rw(0)).expect("free");
    let (_, steps) = trace_of(&bench, 0);
    bench.arena.spoil(steps[2].1, MEGA | 0x83);
    let both = faulted(0xc, Level::L2);
    let trace = WalkTrace {
        read: both,
        write: both,
    };
    assert_eq!(trace_of(&bench, 0).0, trace);
    check(&bench, 0);
}

#[test]
fn in_scalable_mode_an_absent_page_is_another_reason_than_a_missing_permission() {
    let mut bench = Bench::new(FULL);
    let page = Page {
        read: true,
        write: false,
        ..rw(0)
    };
    bench.map(0, PAGE, page).expect("free");
    let trace = |iova| trace_in(Scalable, &bench, iova).0;
    let absent = faulted(0x79, Level::L1);
    assert_eq!((trace(PAGE).read, trace(PAGE).write), (absent, absent));
    assert_eq!(trace(0).write, faulted(0x85, Level::L1));
    let beyond = WalkTrace::faulted(FaultReason::new(0x84));
    assert_eq!(trace(u64::MAX), beyond);
}
