// SPDX-License-Identifier: GPL-2.0

//! Machines: their functions, their DMAR table, and the decision for each unit.

use crate::dmar_build::*;
use crate::quirks_ids::{function, DISPLAY, HOST_BRIDGE, NETWORK};
use vtd_core::dmar::Dmar;
use vtd_core::invalidation::{after_context_change, after_fpd_change, after_map, CacheTag};
use vtd_core::invalidation::{InvalidationRange, InvalidationStep};
use vtd_core::quirks::{IgnoreList, LeaveOutReason, PciFunction, Quirks, UnitVerdict, Workarounds};
use vtd_core::spec::address::{DomainId, Iova, SourceId};
use vtd_core::spec::capability::Capability;
use vtd_core::spec::registers::TranslationTableMode;

/// Capabilities with drain of reads and writes, and 4 levels.
const CAP: u64 = 0x00d2_0080_2066_0462;
const CAP_WITHOUT_DRAIN: u64 = 0x0012_0080_2066_0462;
const GRAPHICS: u64 = 0xfed9_1000;
const SOUND: u64 = 0xfed9_0000;
const REST: u64 = 0xfed9_3000;

/// A notebook: sound, graphics and the rest, each behind a separate unit.
fn table() -> Vec<u8> {
    Table::new(36, 0)
        .with(&drhd(
            false,
            0,
            SOUND,
            &[scope(ENDPOINT, 0, 0, &[(0x1b, 0)])],
        ))
        .with(&drhd(
            false,
            0,
            GRAPHICS,
            &[
                scope(ENDPOINT, 0, 0, &[(2, 0)]),
                scope(ENDPOINT, 0, 0, &[(2, 1)]),
            ],
        ))
        .with(&drhd(true, 0, REST, &[]))
        .seal()
}

/// The functions that the notebook always has.
fn notebook(host_bridge: u16, graphics: u16) -> Vec<PciFunction> {
    vec![
        function(0, host_bridge, HOST_BRIDGE),
        function(2, graphics, DISPLAY),
        function(0x1b, 0x3a3e, 0x04_03_00),
        function(0x19, 0x10f5, NETWORK),
    ]
}

pub(crate) fn verdicts(
    table: &[u8],
    functions: &[PciFunction],
    ignore: &str,
) -> Vec<(u64, UnitVerdict)> {
    let dmar = Dmar::parse(table).unwrap();
    let ignore = IgnoreList::parse(ignore, &dmar).unwrap();
    let quirks = Quirks::of(functions);
    dmar.units()
        .map(|unit| {
            (
                unit.register_base.raw(),
                quirks.verdict(&unit, functions, &ignore),
            )
        })
        .collect()
}

fn workarounds_of(functions: &[PciFunction], base: u64) -> Option<Workarounds> {
    let of = verdicts(&table(), functions, "");
    match of.into_iter().find(|(other, _)| *other == base)?.1 {
        UnitVerdict::Serve(workarounds) => Some(workarounds),
        UnitVerdict::LeaveOut(_) => None,
    }
}

fn strict(functions: &[PciFunction], ignore: &str) -> bool {
    let table = table();
    let dmar = Dmar::parse(&table).unwrap();
    let ignore = IgnoreList::parse(ignore, &dmar).unwrap();
    Quirks::of(functions).strict(&ignore).is_some()
}

fn cap(workarounds: Workarounds) -> Capability {
    workarounds.capability(Capability::from_raw(CAP))
}

#[test]
fn an_ordinary_machine_has_no_quirk() {
    let functions = notebook(0x3ec4, 0x3e9b);
    assert_eq!(Quirks::of(&functions), Quirks::default());
    for base in [SOUND, GRAPHICS, REST] {
        assert_eq!(
            workarounds_of(&functions, base),
            Some(Workarounds::default())
        );
    }
    assert!(!strict(&functions, ""));
}

#[test]
fn gm45_leaves_graphics_out_and_flushes_the_write_buffers_of_the_others() {
    let functions = notebook(0x2a40, 0x2a42);
    assert_eq!(workarounds_of(&functions, GRAPHICS), None);
    for base in [SOUND, REST] {
        let workarounds = workarounds_of(&functions, base).unwrap();
        assert!(workarounds.flush_write_buffer);
        assert!(cap(workarounds).needs_write_buffer_flush());
        assert!(!workarounds.keeps_translation(cap(workarounds)));
    }
    let reason = verdicts(&table(), &functions, "")[1].1;
    let UnitVerdict::LeaveOut(reason @ LeaveOutReason::Quirk(_)) = reason else {
        panic!("{reason:?}");
    };
    assert_eq!(
        reason.to_string(),
        "it serves only graphics. 0000:00:00.0: graphics of the 4 series chipsets malfunction \
         behind a remapping unit"
    );
}

#[test]
fn q35_qm57_and_broadwell_leave_graphics_out_alone() {
    for (bridge, graphics) in [(0x29b0, 0x29b2), (0x0044, 0x0046), (0x1604, 0x1616)] {
        let functions = notebook(bridge, graphics);
        assert_eq!(workarounds_of(&functions, GRAPHICS), None, "{bridge:#x}");
        assert_eq!(
            workarounds_of(&functions, REST),
            Some(Workarounds::default())
        );
        assert_eq!(
            workarounds_of(&functions, SOUND),
            Some(Workarounds::default())
        );
    }
}

#[test]
fn calpella_depends_on_its_shadow_table() {
    for bridge in [0x0040, 0x0062, 0x006a] {
        let mut functions = notebook(bridge, 0x0046);
        functions[0].register = Some(0x0ba0);
        assert_eq!(
            workarounds_of(&functions, GRAPHICS),
            Some(Workarounds::default())
        );
        assert!(strict(&functions, ""));
        // Not because of graphics that no unit serves.
        assert!(!strict(&functions, "graphics"));
        functions[0].register = Some(0x0330);
        assert_eq!(workarounds_of(&functions, GRAPHICS), None);
        assert!(!strict(&functions, ""));
        // A register that cannot be read activates no quirk.
        functions[0].register = None;
        assert_eq!(
            workarounds_of(&functions, GRAPHICS),
            Some(Workarounds::default())
        );
        assert!(!strict(&functions, ""));
    }
    // If another quirk leaves graphics out, flushes may be deferred.
    let mut both = notebook(0x0062, 0x0046);
    both[0].register = Some(0x0ba0);
    both.push(function(0x1f, 0x0044, HOST_BRIDGE));
    assert_eq!(workarounds_of(&both, GRAPHICS), None);
    assert!(!strict(&both, ""));
}

#[test]
fn translation_of_recent_graphics_stays_on() {
    for graphics in [
        0x8a52, 0x4e61, 0x4571, 0x9a49, 0x4c8a, 0x4680, 0xa7a0, 0x7d55, 0x9840,
    ] {
        let functions = notebook(0x9a14, graphics);
        let of_graphics = workarounds_of(&functions, GRAPHICS).unwrap();
        assert!(
            of_graphics.keeps_translation(Capability::from_raw(CAP)),
            "{graphics:#x}"
        );
        // A unit that does not drain does not wait for requests that never complete.
        let simple = Capability::from_raw(CAP_WITHOUT_DRAIN);
        assert!(!of_graphics.keeps_translation(simple));
        assert!(!of_graphics.flush_write_buffer);
        for base in [SOUND, REST] {
            assert_eq!(
                workarounds_of(&functions, base),
                Some(Workarounds::default())
            );
        }
    }
}

#[test]
fn a_unit_that_serves_more_than_graphics_is_served_like_any_other() {
    for (extra, what) in [
        (scope(ENDPOINT, 0, 0, &[(0x19, 0)]), "a NIC"),
        (scope(5, 1, 0, &[(0x15, 0)]), "an ACPI device"),
        (scope(9, 0, 0, &[(0x15, 0)]), "an unknown device"),
        (scope(BRIDGE, 0, 0, &[(0x1c, 0)]), "a port"),
        (
            scope(ENDPOINT, 0, 0, &[(0x1c, 0), (0, 0)]),
            "what may be plugged in",
        ),
    ] {
        let table = Table::new(36, 0)
            .with(&drhd(
                false,
                0,
                GRAPHICS,
                &[scope(ENDPOINT, 0, 0, &[(2, 0)]), extra],
            ))
            .with(&drhd(true, 0, REST, &[]))
            .seal();
        for (bridge, graphics) in [(0x2a40, 0x2a42), (0x1604, 0x1616), (0x9a14, 0x9a49)] {
            let mut functions = notebook(bridge, graphics);
            let mut port = function(0x1c, 0x9d10, 0x06_04_00);
            port.buses_below = Some((1, 1));
            functions.push(port);
            for ignore in ["", "graphics"] {
                let verdict = verdicts(&table, &functions, ignore)[0].1;
                let UnitVerdict::Serve(workarounds) = verdict else {
                    panic!("{what}, {ignore}: {verdict:?}");
                };
                assert!(
                    !workarounds.keeps_translation(Capability::from_raw(CAP)),
                    "{what}"
                );
            }
        }
    }
    // Nor is a unit for all devices.
    let all = Table::new(36, 0)
        .with(&drhd(
            true,
            0,
            GRAPHICS,
            &[scope(ENDPOINT, 0, 0, &[(2, 0)])],
        ))
        .seal();
    for functions in [notebook(0x2a40, 0x2a42), notebook(0x9a14, 0x9a49)] {
        let verdict = verdicts(&all, &functions, "graphics")[0].1;
        assert!(matches!(verdict, UnitVerdict::Serve(_)), "{verdict:?}");
    }
}

#[test]
fn external_graphics_are_never_left_out() {
    let table = Table::new(36, 0)
        .with(&drhd(
            false,
            0,
            GRAPHICS,
            &[scope(ENDPOINT, 0, 0, &[(2, 0)])],
        ))
        .seal();
    let mut functions = notebook(0x2a40, 0x2a42);
    functions[1].untrusted = true;
    for ignore in ["", "graphics"] {
        assert!(matches!(
            verdicts(&table, &functions, ignore)[0].1,
            UnitVerdict::Serve(_)
        ));
    }
}

/// Returns all steps after changes of a unit's tables.
fn steps(cap: Capability) -> Vec<Vec<InvalidationStep>> {
    let (old, new) = (DomainId::new(1), DomainId::new(2));
    let source = SourceId::from_raw(0x10);
    let range = InvalidationRange::new(Iova::new(0x1000), Iova::new(0x1fff), false).unwrap();
    let mut all = vec![
        after_map(cap, CacheTag::SecondStage(new), range)
            .iter()
            .collect(),
        after_fpd_change(cap, source, Some(new)).iter().collect(),
    ];
    for (before, after) in [(None, Some(new)), (Some(old), Some(new)), (Some(old), None)] {
        all.push(
            after_context_change(TranslationTableMode::Legacy, cap, source, before, after)
                .iter()
                .collect(),
        );
    }
    all
}

#[test]
fn a_write_buffer_missing_in_cap_is_flushed_first_after_every_change() {
    let silent = Capability::from_raw(CAP);
    let workarounds = workarounds_of(&notebook(0x2a40, 0x2a42), REST).unwrap();
    assert!(!silent.needs_write_buffer_flush());
    for (with, without) in steps(workarounds.capability(silent))
        .into_iter()
        .zip(steps(silent))
    {
        assert_eq!(with.first(), Some(&InvalidationStep::FlushWriteBuffer));
        assert_eq!(with[1..], without[..]);
    }
    // Reports show the unchanged value of the register.
    assert_eq!(workarounds.capability(silent).raw(), CAP);
}
