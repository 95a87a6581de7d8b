// SPDX-License-Identifier: GPL-2.0

//! The maximum number of log lines and fault records that faults may cost, whatever the requesters
//! do.

use proptest::prelude::*;
use std::collections::BTreeSet;
use vtd_core::fault_limit::{
    FaultLimit, FaultVerdict, UnknownLimits, UnknownVerdict, BURST, MAX_UNKNOWN_REQUESTERS, STORM,
    UNKNOWN_BURST, UNKNOWN_SILENCED, UNKNOWN_STORM, WINDOW_NS,
};
use vtd_core::spec::address::SourceId;

const MS: u64 = 1_000_000;

/// The maximum number of lines for one known requester within one window: reports, the note that
/// more are suppressed, how many were, a storm, and that recording resumed.
const LINES: u64 = BURST + 4;

/// The maximum number of lines for all unknown requesters of a unit within one window: reports, the
/// note that more are suppressed, how many were, storms, and a sweep.
const UNKNOWN_LINES: u64 = UNKNOWN_BURST + 2 + UNKNOWN_SILENCED + 1;

fn lines_of(verdict: FaultVerdict) -> u64 {
    match verdict {
        FaultVerdict::Report { suppressed, last } => {
            1 + u64::from(suppressed > 0) + u64::from(last)
        }
        FaultVerdict::Suppress => 0,
        FaultVerdict::Silence { report, .. } => u64::from(report),
    }
}

fn unknown_lines_of(verdict: UnknownVerdict) -> u64 {
    match verdict {
        UnknownVerdict::Report { suppressed, last } => {
            1 + u64::from(suppressed > 0) + u64::from(last)
        }
        UnknownVerdict::Suppress => 0,
        UnknownVerdict::Silence { report, .. } | UnknownVerdict::SilenceBus { report } => {
            u64::from(report)
        }
    }
}

#[test]
fn ten_faults_in_a_window_are_reported_and_the_rest_is_counted() {
    let mut limit = FaultLimit::new();
    for nth in 1..=BURST {
        let verdict = limit.count(nth * MS);
        let wanted = FaultVerdict::Report {
            suppressed: 0,
            last: nth == BURST,
        };
        assert_eq!(verdict, wanted);
    }
    for _ in 0..5 {
        assert_eq!(limit.count(50 * MS), FaultVerdict::Suppress);
    }
    assert_eq!((limit.total(), limit.suppressed()), (BURST + 5, 5));
    let wanted = FaultVerdict::Report {
        suppressed: 5,
        last: false,
    };
    assert_eq!(limit.count(MS + WINDOW_NS + 1), wanted);
    assert_eq!(limit.suppressed(), 0);
}

#[test]
fn a_storm_is_silenced_reported_once_and_silenced_again_immediately() {
    let mut limit = FaultLimit::new();
    for _ in 1..STORM {
        assert!(!matches!(limit.count(0), FaultVerdict::Silence { .. }));
    }
    let storm = |faults, report| FaultVerdict::Silence {
        faults,
        ms: 7,
        report,
    };
    assert_eq!(limit.count(7 * MS), storm(STORM, true));
    // After each new attach, one fault is recorded.
    for again in 1..100 {
        assert_eq!(limit.count(7 * MS), storm(STORM + again, false));
    }
    let later = limit.count(WINDOW_NS + 8 * MS);
    assert!(matches!(later, FaultVerdict::Report { suppressed, .. } if suppressed > STORM));
}

#[test]
fn a_first_fault_right_after_boot_is_reported() {
    assert!(matches!(
        FaultLimit::new().count(0),
        FaultVerdict::Report { .. }
    ));
    assert!(FaultLimit::new().may_announce(0));
}

#[test]
fn resumed_recording_is_reported_once_in_a_window() {
    let mut limit = FaultLimit::new();
    assert!(limit.may_announce(5));
    assert!(!limit.may_announce(6));
    assert!(!limit.may_announce(5 + WINDOW_NS));
    assert!(limit.may_announce(6 + WINDOW_NS));
}

#[test]
fn an_unknown_requester_that_storms_is_silenced_alone() {
    let mut limits = UnknownLimits::new(Box::new([None; MAX_UNKNOWN_REQUESTERS]));
    let (noisy, other) = (SourceId::from_raw(0x200), SourceId::from_raw(0x201));
    for _ in 1..STORM {
        let verdict = limits.count(noisy, 0);
        assert!(matches!(
            verdict,
            UnknownVerdict::Report { .. } | UnknownVerdict::Suppress
        ));
    }
    let storm = UnknownVerdict::Silence {
        faults: STORM,
        ms: 0,
        together: false,
        report: true,
    };
    assert_eq!(limits.count(noisy, 0), storm);
    assert!(matches!(
        limits.count(other, 0),
        UnknownVerdict::Report { .. }
    ));
}

#[test]
fn one_unknown_requester_leaves_lines_for_another() {
    let mut limits = UnknownLimits::new(Box::new([None; MAX_UNKNOWN_REQUESTERS]));
    for _ in 0..STORM / 2 {
        limits.count(SourceId::from_raw(1), 0);
    }
    let verdict = limits.count(SourceId::from_raw(2), 0);
    assert!(matches!(verdict, UnknownVerdict::Report { suppressed, .. } if suppressed > 0));
}

#[test]
fn the_requester_quiet_for_longest_is_replaced() {
    let mut limits = UnknownLimits::new(Box::new([None; MAX_UNKNOWN_REQUESTERS]));
    let noisy = SourceId::from_raw(0xffff);
    for now in 1..STORM {
        limits.count(noisy, now);
    }
    for raw in 0..MAX_UNKNOWN_REQUESTERS as u16 {
        limits.count(SourceId::from_raw(raw), STORM + 2 * u64::from(raw));
        let verdict = limits.count(noisy, STORM + 2 * u64::from(raw) + 1);
        assert!(matches!(
            verdict,
            UnknownVerdict::Silence {
                together: false,
                ..
            }
        ));
    }
}

#[test]
fn replacing_an_old_requester_is_no_sweep() {
    let mut limits = UnknownLimits::new(Box::new([None; MAX_UNKNOWN_REQUESTERS]));
    for raw in 0..MAX_UNKNOWN_REQUESTERS as u16 {
        limits.count(SourceId::from_raw(raw), 0);
    }
    let swept = |raw| matches!(raw, UnknownVerdict::SilenceBus { .. });
    let others = 0x1000..0x1000 + 2 * MAX_UNKNOWN_REQUESTERS as u16;
    for raw in others.clone() {
        assert!(!swept(limits.count(SourceId::from_raw(raw), 2 * WINDOW_NS)));
    }
    assert!(swept(
        limits.count(SourceId::from_raw(others.end), 2 * WINDOW_NS)
    ));
}

#[test]
fn requesters_that_storm_together_are_silenced_one_by_one() {
    let mut limits = UnknownLimits::new(Box::new([None; MAX_UNKNOWN_REQUESTERS]));
    let (mut silenced, mut records, mut lines) = (BTreeSet::new(), 0, 0);
    for _ in 0..2 * STORM {
        for raw in 0..MAX_UNKNOWN_REQUESTERS as u16 {
            if silenced.contains(&raw) {
                continue;
            }
            records += 1;
            let verdict = limits.count(SourceId::from_raw(raw << 3), records);
            lines += unknown_lines_of(verdict);
            match verdict {
                UnknownVerdict::Silence { .. } => {
                    silenced.insert(raw);
                }
                UnknownVerdict::SilenceBus { .. } => panic!("a sweep"),
                _ => {}
            }
        }
    }
    assert_eq!(silenced.len(), MAX_UNKNOWN_REQUESTERS);
    assert!(
        records <= UNKNOWN_STORM + MAX_UNKNOWN_REQUESTERS as u64,
        "{records} records"
    );
    assert!(lines <= UNKNOWN_LINES, "{lines} lines");
}

#[test]
fn a_sweep_that_continues_is_one_until_it_pauses() {
    let mut limits = UnknownLimits::new(Box::new([None; MAX_UNKNOWN_REQUESTERS]));
    for raw in 0..200 {
        limits.count(SourceId::from_raw(raw), 0);
    }
    let mut now = 0;
    for raw in 0..20 {
        now += WINDOW_NS / 2;
        let verdict = limits.count(SourceId::from_raw(raw), now);
        assert!(matches!(verdict, UnknownVerdict::SilenceBus { .. }));
    }
    let later = limits.count(SourceId::from_raw(7), now + WINDOW_NS + 1);
    assert!(matches!(later, UnknownVerdict::Report { .. }));
}

#[test]
fn many_quiet_requesters_over_a_long_time_are_no_sweep() {
    let mut limits = UnknownLimits::new(Box::new([None; MAX_UNKNOWN_REQUESTERS]));
    for raw in 0..=u16::MAX {
        let now = u64::from(raw) * 2 * WINDOW_NS / MAX_UNKNOWN_REQUESTERS as u64;
        let verdict = limits.count(SourceId::from_raw(raw), now);
        assert!(!matches!(verdict, UnknownVerdict::SilenceBus { .. }));
    }
}

/// The cost of a sweep until all of it is silenced, if hardware respects FPD.
#[test]
fn a_sweep_over_all_requester_ids_ends_after_a_record_for_each_bus() {
    let mut limits = UnknownLimits::new(Box::new([None; MAX_UNKNOWN_REQUESTERS]));
    let (mut buses, mut records, mut lines) = (BTreeSet::new(), 0, 0);
    for _ in 0..10 {
        for raw in 0..=u16::MAX {
            let source = SourceId::from_raw(raw);
            if buses.contains(&source.bus()) {
                continue;
            }
            records += 1;
            let verdict = limits.count(source, records * 1000);
            lines += unknown_lines_of(verdict);
            if matches!(verdict, UnknownVerdict::SilenceBus { .. }) {
                buses.insert(source.bus());
            }
        }
    }
    assert_eq!(buses.len(), 256);
    assert!(
        records <= 256 + 2 * MAX_UNKNOWN_REQUESTERS as u64,
        "{records} records"
    );
    assert!(lines <= UNKNOWN_LINES, "{lines} lines");
}

/// A fault of one requester: the time since the previous fault, and the requester ID.
fn fault() -> impl Strategy<Value = (u64, u16)> {
    (
        prop_oneof![0..100u64, Just(WINDOW_NS / 3)],
        prop_oneof![0..70u16, any::<u16>()],
    )
}

proptest! {
    #[test]
    fn lines_of_one_requester_are_limited(
        gaps in prop::collection::vec(prop_oneof![8 => 0..10 * MS, 1 => Just(WINDOW_NS / 2)], 3000),
    ) {
        let mut limit = FaultLimit::new();
        let (mut now, mut lines) = (0, 0);
        for gap in gaps {
            now += gap;
            let verdict = limit.count(now);
            lines += lines_of(verdict);
            // A user attaches the device again whenever it is silenced.
            if matches!(verdict, FaultVerdict::Silence { .. }) {
                lines += u64::from(limit.may_announce(now));
            }
        }
        prop_assert!(lines <= LINES * (1 + now.div_ceil(WINDOW_NS)), "{} lines in {} ns", lines, now);
    }

    #[test]
    fn lines_of_unknown_requesters_are_limited_together(
        faults in prop::collection::vec(fault(), 3000),
    ) {
        let mut limits = UnknownLimits::new(Box::new([None; MAX_UNKNOWN_REQUESTERS]));
        let (mut now, mut lines) = (0, 0);
        for (gap, raw) in faults {
            now += gap;
            lines += unknown_lines_of(limits.count(SourceId::from_raw(raw), now));
        }
        let windows = 1 + now.div_ceil(WINDOW_NS);
        prop_assert!(lines <= UNKNOWN_LINES * windows, "{} lines in {} ns", lines, now);
    }
}
