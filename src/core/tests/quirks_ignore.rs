// SPDX-License-Identifier: GPL-2.0

//! Tests of `ignore=`: the units that the user wants to be left out.

use crate::dmar_build::*;
use crate::quirks_ids::{function, DISPLAY, HOST_BRIDGE};
use crate::quirks_machines::verdicts;
use proptest::prelude::*;
use vtd_core::dmar::Dmar;
use vtd_core::quirks::ignore::IgnoreError;
use vtd_core::quirks::{IgnoreList, LeaveOutReason, PciFunction, UnitVerdict};
use vtd_core::spec::address::PhysAddr;

fn table() -> Vec<u8> {
    Table::new(39, 0)
        .with(&drhd(
            false,
            0,
            0xfed9_0000,
            &[scope(ENDPOINT, 0, 0, &[(2, 0)])],
        ))
        .with(&drhd(true, 0, 0xfed9_1000, &[]))
        .seal()
}

fn machine() -> [PciFunction; 2] {
    [
        function(0, 0x3ec4, HOST_BRIDGE),
        function(2, 0x3e9b, DISPLAY),
    ]
}

/// Returns which of the two units are left out, and the reason.
fn left_out(ignore: &str) -> [Option<LeaveOutReason>; 2] {
    let of = verdicts(&table(), &machine(), ignore);
    [of[0].1, of[1].1].map(|verdict| match verdict {
        UnitVerdict::Serve(_) => None,
        UnitVerdict::LeaveOut(reason) => Some(reason),
    })
}

#[test]
fn units_are_named_by_their_registers_or_as_graphics() {
    let (named, graphics) = (Some(LeaveOutReason::Named), Some(LeaveOutReason::Graphics));
    assert_eq!(left_out(""), [None, None]);
    assert_eq!(left_out(" \n"), [None, None]);
    assert_eq!(left_out("0xfed90000"), [named, None]);
    assert_eq!(left_out("0XFED90000\n"), [named, None]);
    assert_eq!(left_out("0x00000000fed91000"), [None, named]);
    assert_eq!(left_out("graphics"), [graphics, None]);
    assert_eq!(left_out("graphics,0xfed91000"), [graphics, named]);
    assert_eq!(left_out("0xfed91000,0xfed90000,0xfed91000"), [named, named]);
}

fn refused<'a>(ignore: &'a str, table: &[u8]) -> Option<IgnoreError<'a>> {
    IgnoreList::parse(ignore, &Dmar::parse(table).unwrap()).err()
}

#[test]
fn unknown_words_are_refused_by_name() {
    for text in [
        "1",
        "fed90000",
        "0x",
        "0xfed9000g",
        "0x-1",
        "0x+fed90000",
        "-0x1",
        "dmar0",
        "Graphics",
        "graphic",
        "0x1ffffffffffffffff",
        "all",
        "0xfed90000 0xfed91000",
    ] {
        assert_eq!(
            refused(text, &table()),
            Some(IgnoreError::Word(text)),
            "{text}"
        );
    }
    for (text, word) in [
        (",", ""),
        ("graphics,", ""),
        ("0xfed90000,,graphics", ""),
        ("graphics, ", ""),
    ] {
        assert_eq!(
            refused(text, &table()),
            Some(IgnoreError::Word(word)),
            "{text}"
        );
    }
    let nowhere = IgnoreError::NoUnit(PhysAddr::new(0xfed9_2000));
    assert_eq!(refused("graphics,0xfed92000", &table()), Some(nowhere));
    assert_eq!(
        nowhere.to_string(),
        "ignore=0xfed92000: the DMAR table has no unit with its registers there"
    );
    assert!(IgnoreError::Word("no")
        .to_string()
        .starts_with("ignore=no is neither"));
}

#[test]
fn graphics_that_no_unit_serves_alone_are_no_error() {
    let all = Table::new(39, 0)
        .with(&drhd(true, 0, 0xfed9_0000, &[]))
        .seal();
    assert_eq!(refused("graphics", &all), None);
}

proptest! {
    #[test]
    fn no_text_causes_a_panic(text in "[ -~]{0,40}|[0-9a-fxgraphics,]{0,40}|\\PC{0,20}") {
        let table = table();
        let dmar = Dmar::parse(&table).unwrap();
        if let Ok(ignore) = IgnoreList::parse(&text, &dmar) {
            // Every accepted word names something that exists.
            prop_assert!(text.trim().is_empty() || ignore.graphics()
                || dmar.units().any(|unit| ignore.contains(unit.register_base)));
        }
    }
}
