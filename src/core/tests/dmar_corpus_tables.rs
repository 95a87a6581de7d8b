// SPDX-License-Identifier: GPL-2.0

//! The tables of the corpus, by name. The first unit's registers are at QEMU's address, so that a
//! guest can boot with each table that the host test accepts.

use crate::dmar_build::*;
use crate::dmar_corpus_contents::{others, regions, scopes};

pub(crate) type Named = (&'static str, Vec<u8>);

pub(crate) const BASE: u64 = 0xfed9_0000;
pub(crate) const TOP: u64 = 1 << 39;

pub(crate) fn table() -> Table {
    Table::new(39, 0)
}

pub(crate) fn unit() -> Vec<u8> {
    drhd(true, 0, BASE, &[])
}

pub(crate) fn nic() -> Vec<u8> {
    scope(ENDPOINT, 0, 0, &[(2, 0)])
}

/// Returns a table with the usual unit, followed by one more structure.
pub(crate) fn with(structure: Vec<u8>) -> Vec<u8> {
    table().with(&unit()).with(&structure).seal()
}

/// Returns a unit that does not exist, for 00:02.0.
fn named_elsewhere() -> Vec<u8> {
    drhd(false, 0, BASE + 0x2000, &[nic()])
}

/// Returns a structure with a wrong length field.
pub(crate) fn claiming(mut structure: Vec<u8>, length: u16) -> Vec<u8> {
    structure[2..4].copy_from_slice(&length.to_le_bytes());
    structure
}

/// Returns a scope with a wrong length field.
pub(crate) fn scope_claiming(length: u8) -> Vec<u8> {
    let mut bytes = nic();
    bytes[1] = length;
    bytes
}

/// Returns a good table with one byte of the header changed, and a right or a wrong checksum.
fn changed(place: usize, value: u8, right: bool) -> Vec<u8> {
    let mut bytes = table().with(&unit()).seal();
    bytes[place] = value;
    if right {
        let sum = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        bytes[9] = bytes[9].wrapping_sub(sum);
    }
    bytes
}

fn wide(bits: u8) -> Vec<u8> {
    Table::new(bits, 0).with(&unit()).seal()
}

pub(crate) fn tables() -> Vec<Named> {
    [
        headers(),
        units(),
        structures(),
        scopes(),
        regions(),
        others(),
    ]
    .concat()
}

fn headers() -> Vec<Named> {
    let good = table().with(&unit()).seal();
    let mut trailing = good.clone();
    trailing.extend([0x5a; 7]);
    vec![
        ("plain", good.clone()),
        ("everything", everything().0),
        ("trailing-bytes-outside", trailing),
        ("empty", Vec::new()),
        ("signature-only", b"DMAR".to_vec()),
        ("signature-wrong", changed(0, b'A', true)),
        ("signature-lower-case", changed(3, b'r', true)),
        ("checksum-wrong", changed(9, 0x5a, false)),
        ("checksum-body-flipped", changed(60, 1, false)),
        ("length-zero", changed(4, 0, false)),
        ("length-of-acpi-header", seal(good[..36].to_vec())),
        ("length-one-short-of-header", seal(good[..47].to_vec())),
        ("length-beyond-bytes", changed(5, 0x10, true)),
        ("length-huge", changed(7, 0xff, true)),
        ("truncated-in-unit", good[..56].to_vec()),
        ("width-0", changed(36, 0, true)),
        ("width-11", wide(11)),
        ("width-12-below-registers", wide(12)),
        ("width-32", wide(32)),
        ("width-64", wide(64)),
        ("width-65", wide(65)),
        ("width-256", changed(36, 0xff, true)),
        ("flags-all", changed(37, 0xff, true)),
        ("flags-all-but-opt-out", changed(37, 0xf7, true)),
        ("flags-opt-out", changed(37, 8, true)),
        ("reserved-bytes-set", changed(40, 0xff, true)),
    ]
}

fn units() -> Vec<Named> {
    let named = |base| drhd(false, 0, base, &[nic()]);
    let second = |structure: Vec<u8>| with(structure);
    vec![
        ("unit-none", table().seal()),
        (
            "unit-none-but-region",
            table().with(&rmrr(0, 0x1000, 0x1fff, &[nic()])).seal(),
        ),
        (
            "unit-names-nothing",
            table().with(&drhd(false, 0, BASE, &[])).seal(),
        ),
        ("unit-base-0", table().with(&drhd(true, 0, 0, &[])).seal()),
        (
            "unit-base-unaligned",
            table().with(&drhd(true, 0, BASE + 0x800, &[])).seal(),
        ),
        (
            "unit-beyond-host",
            table().with(&drhd(true, 0, TOP, &[])).seal(),
        ),
        (
            "unit-at-end-of-host",
            table().with(&drhd(true, 0, TOP - 0x1000, &[])).seal(),
        ),
        (
            "unit-size-reaches-beyond-host",
            table()
                .with(&sized_drhd(true, 1, 0, TOP - 0x1000, &[]))
                .seal(),
        ),
        (
            "unit-wraps-64-bit",
            Table::new(64, 0)
                .with(&sized_drhd(true, 15, 0, !0xfff, &[]))
                .seal(),
        ),
        (
            "unit-size-reserved-bits",
            table().with(&sized_drhd(true, 0xf0, 0, BASE, &[])).seal(),
        ),
        ("unit-twice", second(unit())),
        ("unit-thrice", second([unit(), unit()].concat())),
        ("unit-duplicate-registers", second(named(BASE))),
        (
            "unit-twice-in-two-segments",
            second(drhd(true, 1, BASE, &[])),
        ),
        (
            "unit-twice-of-two-sizes",
            second(sized_drhd(true, 1, 0, BASE, &[])),
        ),
        (
            "unit-overlaps-by-size",
            table()
                .with(&sized_drhd(false, 3, 0, BASE, &[nic()]))
                .with(&drhd(true, 0, BASE + 0x7000, &[]))
                .seal(),
        ),
        (
            "unit-next-to-another",
            table()
                .with(&named(BASE))
                .with(&drhd(true, 0, BASE + 0x1000, &[]))
                .seal(),
        ),
        (
            "unit-all-twice-in-segment",
            second(drhd(true, 0, BASE + 0x2000, &[])),
        ),
        (
            "unit-all-in-two-segments",
            second(drhd(true, 1, BASE + 0x2000, &[])),
        ),
        ("unit-all-not-last", second(named(BASE + 0x2000))),
        (
            "unit-segment-ffff",
            second(drhd(true, 0xffff, BASE + 0x2000, &[])),
        ),
        (
            "unit-many",
            (0..16)
                .fold(table(), |table, n| {
                    table.with(&drhd(
                        n == 15,
                        0,
                        BASE + n * 0x1000,
                        &[scope(ENDPOINT, 0, 0, &[(n as u8 + 2, 0)])],
                    ))
                })
                .seal(),
        ),
        (
            "unit-of-other-segment-only",
            table().with(&drhd(true, 7, BASE, &[])).seal(),
        ),
    ]
}

fn structures() -> Vec<Named> {
    vec![
        (
            "structure-length-0",
            with(claiming(structure(0, &[&[0; 12]]), 0)),
        ),
        (
            "structure-length-3",
            with(claiming(structure(9, &[&[0; 12]]), 3)),
        ),
        (
            "structure-unknown-length-0",
            with(claiming(structure(0x55, &[&[0; 4]]), 0)),
        ),
        (
            "structure-unit-too-short",
            with(claiming(drhd(false, 0, BASE, &[]), 15)),
        ),
        (
            "structure-beyond-table",
            with(claiming(andd(1, b"X\0"), 200)),
        ),
        (
            "structure-length-ffff",
            with(claiming(drhd(false, 0, BASE + 0x1000, &[]), 0xffff)),
        ),
        (
            "structure-half-a-header",
            seal([&table().with(&unit()).seal()[..], &[0, 0]].concat()),
        ),
        (
            "structure-one-byte-left",
            seal([&table().with(&unit()).seal()[..], &[0]].concat()),
        ),
        (
            "structure-zeroes-behind",
            seal([&table().with(&unit()).seal()[..], &[0; 64]].concat()),
        ),
        (
            "structure-behind-zeroes",
            with([vec![0; 8], named_elsewhere()].concat()),
        ),
        (
            "structure-one-byte-left-not-0",
            seal([&table().with(&unit()).seal()[..], &[1]].concat()),
        ),
        (
            "structure-unknown-type",
            with(structure(0x7f, &[&[1, 2, 3, 4]])),
        ),
        ("structure-unknown-of-4-bytes", with(structure(0xffff, &[]))),
    ]
}
