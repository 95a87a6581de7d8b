// SPDX-License-Identifier: GPL-2.0

//! Which devices use their device-TLB: each rule, and the tables of the corpus.

use crate::dmar_build::*;
use vtd_core::ats_policy::{AtsChoice, AtsDecision, AtsFacts, AtsPlace, NoAts, WhyAts};
use vtd_core::dmar::Dmar;
use vtd_core::spec::address::{Segment, SourceId};

const REQUIRED: AtsPlace = AtsPlace::Listed { required: true };
const LISTED: AtsPlace = AtsPlace::Listed { required: false };
const PORT: AtsPlace = AtsPlace::BelowPort {
    takes_requests: true,
};
const OTHER_PORT: AtsPlace = AtsPlace::BelowPort {
    takes_requests: false,
};

/// A device that could use its device-TLB, and does not need it.
const ABLE: AtsFacts = AtsFacts {
    choice: AtsChoice::WherePossible,
    capability: true,
    untrusted: false,
    physical_function: true,
    page_aligned: true,
    required: false,
    shares_requester: false,
    place: PORT,
    unit: true,
    queue: true,
    scalable: false,
};

fn unused(facts: AtsFacts) -> NoAts {
    match AtsDecision::of(facts) {
        AtsDecision::Unused(why) => why,
        used => panic!("{used}"),
    }
}

#[test]
fn only_three_values_of_the_parameter_are_valid() {
    let of = AtsChoice::from_parameter;
    assert_eq!(of(0), Some(AtsChoice::Never));
    assert_eq!(of(1), Some(AtsChoice::WhereNeeded));
    assert_eq!(of(2), Some(AtsChoice::WherePossible));
    for other in [-1, 3, i32::MIN, i32::MAX] {
        assert_eq!(of(other), None);
    }
}

/// The rows of the decision for devices without any obstacle: what needs it, and what the user
/// chose.
#[test]
fn need_and_choice_decide_where_nothing_is_in_the_way() {
    use AtsDecision::{Unused, Used};
    let not_wanted = |needed| Unused(NoAts::NotWanted { needed });
    let not_needed = Unused(NoAts::NotNeeded);
    let chosen = Used(WhyAts::Chosen);
    let (firmware, device) = (Used(WhyAts::Firmware), Used(WhyAts::Device));
    // Place, needed by the device itself; then with ats=0, 1 and 2, the unit in scalable mode.
    for (place, required, expected) in [
        (PORT, false, [not_wanted(false), not_needed, chosen]),
        (LISTED, false, [not_wanted(false), not_needed, chosen]),
        (
            AtsPlace::Integrated,
            false,
            [not_wanted(false), not_needed, chosen],
        ),
        (PORT, true, [not_wanted(true), device, device]),
        (
            AtsPlace::Integrated,
            true,
            [not_wanted(true), device, device],
        ),
        (REQUIRED, false, [not_wanted(true), firmware, firmware]),
        (REQUIRED, true, [not_wanted(true), firmware, firmware]),
    ] {
        for (value, expected) in expected.into_iter().enumerate() {
            let facts = AtsFacts {
                choice: AtsChoice::from_parameter(value as i32).unwrap(),
                place,
                required,
                scalable: true,
                ..ABLE
            };
            assert_eq!(AtsDecision::of(facts), expected, "{facts:?}");
            // The mode matters only to devices that firmware says need theirs.
            let legacy = AtsFacts {
                scalable: false,
                ..facts
            };
            let expected = match place {
                REQUIRED => Unused(NoAts::ByHardware),
                _ => expected,
            };
            assert_eq!(AtsDecision::of(legacy), expected, "{legacy:?}");
        }
    }
}

/// One fact at a time is an obstacle, whatever is needed or chosen.
#[test]
fn each_obstacle_is_enough() {
    type Change = fn(&mut AtsFacts);
    let obstacles: [(Change, NoAts); 9] = [
        (|it| it.capability = false, NoAts::NoCapability),
        (|it| it.untrusted = true, NoAts::Untrusted),
        (|it| it.physical_function = false, NoAts::PhysicalFunction),
        (|it| it.unit = false, NoAts::Unit),
        (|it| it.queue = false, NoAts::NoQueue),
        (|it| it.place = AtsPlace::BelowBridge, NoAts::BelowBridge),
        (|it| it.shares_requester = true, NoAts::SharedRequester),
        (|it| it.place = OTHER_PORT, NoAts::Port),
        (|it| it.page_aligned = false, NoAts::NotPageAligned),
    ];
    let choices = [0, 1, 2].map(|value| AtsChoice::from_parameter(value).unwrap());
    for (index, (change, why)) in obstacles.iter().enumerate() {
        for choice in choices {
            for place in [PORT, REQUIRED, AtsPlace::Integrated] {
                for (required, scalable) in
                    [(false, false), (false, true), (true, false), (true, true)]
                {
                    let mut facts = AtsFacts {
                        choice,
                        place,
                        required,
                        scalable,
                        ..ABLE
                    };
                    change(&mut facts);
                    assert_eq!(unused(facts), *why, "{facts:?}");
                }
            }
        }
        // Of several obstacles, the first in this order is reported.
        let mut facts = ABLE;
        for (change, _) in obstacles.iter().skip(index).rev() {
            change(&mut facts);
        }
        // A device has one place.
        if index != 5 {
            assert_eq!(unused(facts), *why, "{facts:?}");
        }
    }
}

#[test]
fn the_reasons_are_clauses() {
    let reasons = [
        NoAts::NoCapability,
        NoAts::Untrusted,
        NoAts::PhysicalFunction,
        NoAts::Unit,
        NoAts::NoQueue,
        NoAts::BelowBridge,
        NoAts::SharedRequester,
        NoAts::Port,
        NoAts::NotPageAligned,
        NoAts::ByHardware,
        NoAts::NotWanted { needed: false },
        NoAts::NotWanted { needed: true },
        NoAts::NotNeeded,
    ];
    let uses = [WhyAts::Firmware, WhyAts::Device, WhyAts::Chosen];
    let words: std::collections::BTreeSet<String> = reasons
        .map(|why| AtsDecision::Unused(why).to_string())
        .into_iter()
        .chain(uses.map(|why| AtsDecision::Used(why).to_string()))
        .collect();
    assert_eq!(words.len(), reasons.len() + uses.len());
    for text in &words {
        assert!(text.starts_with("used: ") || text.starts_with("not used: "));
        assert!(!text.ends_with('.') && text.len() < 80, "{text}");
    }
    assert!(words.contains("not used: firmware lists no ATS for its root port (ATSR)"));
    assert!(words.contains("used: as chosen by ats=2"));
}

fn chain(functions: &[(u8, u8, u8)]) -> Vec<SourceId> {
    let source = |(bus, device, function)| SourceId::new(bus, device, function).unwrap();
    functions.iter().copied().map(source).collect()
}

fn place(bytes: &[u8], segment: u16, functions: &[(u8, u8, u8)]) -> AtsPlace {
    let dmar = Dmar::parse(bytes).unwrap();
    AtsPlace::of(&dmar, Segment::new(segment), &chain(functions), false)
}

/// Firmware of a server with two sockets: ports on two root buses, one of them not listed.
#[test]
fn a_root_port_counts_and_a_port_below_it_does_not() {
    let bytes = Table::new(46, 1)
        .with(&drhd(true, 0, 0x1000, &[]))
        .with(&flagged(
            2,
            false,
            0,
            &[
                scope(BRIDGE, 0, 0, &[(1, 0)]),
                scope(BRIDGE, 0, 0x80, &[(3, 2)]),
                // A port of a switch below the root port 00:05.0.
                scope(BRIDGE, 0, 0, &[(5, 0), (0, 0)]),
            ],
        ))
        .seal();
    for (functions, expected) in [
        (&[(0, 1, 0), (1, 0, 0)][..], PORT),
        (&[(0, 1, 0), (1, 0, 0), (2, 8, 0), (9, 0, 0)], PORT),
        (&[(0x80, 3, 2), (0x81, 0, 0)], PORT),
        (&[(0, 3, 2), (1, 0, 0)], OTHER_PORT),
        (&[(0, 1, 1), (1, 0, 0)], OTHER_PORT),
        (&[(0, 5, 0), (5, 0, 0), (6, 0, 0)], OTHER_PORT),
        (&[(0, 1, 0)], AtsPlace::Integrated),
    ] {
        assert_eq!(place(&bytes, 0, functions), expected, "{functions:?}");
    }
    assert_eq!(place(&bytes, 1, &[(0, 1, 0), (1, 0, 0)]), OTHER_PORT);
    let dmar = Dmar::parse(&bytes).unwrap();
    let below = AtsPlace::of(
        &dmar,
        Segment::new(0),
        &chain(&[(0, 1, 0), (1, 0, 0)]),
        true,
    );
    assert_eq!(below, AtsPlace::BelowBridge);
}

/// A device that two structures list, of which one says that it is needed.
#[test]
fn a_listed_device_is_needed_if_any_structure_says_so() {
    let endpoint = |device| scope(ENDPOINT, 0, 0, &[(device, 0)]);
    let bytes = Table::new(46, 1)
        .with(&drhd(true, 0, 0x1000, &[]))
        .with(&flagged(5, false, 0, &[endpoint(2), endpoint(4)]))
        .with(&flagged(5, true, 0, &[endpoint(2), endpoint(6)]))
        .with(&flagged(5, true, 1, &[endpoint(4)]))
        .seal();
    assert_eq!(place(&bytes, 0, &[(0, 2, 0)]), REQUIRED);
    assert_eq!(place(&bytes, 0, &[(0, 4, 0)]), LISTED);
    assert_eq!(place(&bytes, 0, &[(0, 6, 0)]), REQUIRED);
    assert_eq!(place(&bytes, 0, &[(0, 8, 0)]), AtsPlace::Integrated);
    assert_eq!(place(&bytes, 1, &[(0, 4, 0)]), REQUIRED);
}

/// Whether a device uses its device-TLB: with each choice, in legacy and in scalable mode.
fn uses(place: AtsPlace) -> String {
    let mut code = String::new();
    for value in 0..3 {
        for scalable in [false, true] {
            let facts = AtsFacts {
                choice: AtsChoice::from_parameter(value).unwrap(),
                place,
                scalable,
                ..ABLE
            };
            let used = AtsDecision::of(facts).is_used();
            code.push(if used { '1' } else { '0' });
        }
    }
    code
}

/// The tables that the guests boot with: with ats=2 all integrated devices, and those below listed
/// ports, use their device-TLB; with ats=1 those that firmware says need it, in scalable mode.
#[test]
fn the_tables_of_the_corpus_decide() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/core/tests/dmar_corpus/");
    let read = |name: &str| std::fs::read(format!("{folder}{name}.dmar")).unwrap();
    let below = |port| [port, (9, 0, 0)];
    for (table, functions, expected) in [
        ("everything", &[(0, 4, 0)][..], "000101"),
        ("everything", &[(0, 2, 0)], "000011"),
        ("everything", &below((0, 0x1c, 0)), "000011"),
        ("everything", &below((0, 0x1d, 0)), "000000"),
        ("plain", &[(0, 4, 0)], "000011"),
        ("plain", &below((0, 0x1c, 0)), "000000"),
        ("ports-all", &below((0, 0x1f, 7)), "000011"),
        ("ports-none", &below((0, 0x1c, 0)), "000000"),
        // A structure that is wrong is left out.
        ("ports-of-impossible-device", &below((0, 0x1c, 0)), "000000"),
    ] {
        let found = uses(place(&read(table), 0, functions));
        assert_eq!(found, expected, "{table} {functions:?}");
    }
    let mut tables = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let Ok(dmar) = Dmar::parse(&bytes) else {
            continue;
        };
        tables += 1;
        // Whatever the table is, no device uses it with ats=0, and none below a bridge.
        for source in (0..=u16::MAX).step_by(8).map(SourceId::from_raw) {
            let of = |below| AtsPlace::of(&dmar, Segment::new(0), &[source], below);
            assert!(uses(of(false)).starts_with("00"));
            assert_eq!(of(true), AtsPlace::BelowBridge);
        }
    }
    assert!(tables >= 20, "{tables}");
}
