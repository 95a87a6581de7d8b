// SPDX-License-Identifier: GPL-2.0

//! The tables of the corpus, by name. The first unit's registers are where QEMU has them, so that
//! what is taken on the host can be booted.

use crate::dmar_build::*;

pub(crate) type Named = (&'static str, Vec<u8>);

const BASE: u64 = 0xfed9_0000;
const TOP: u64 = 1 << 39;

fn table() -> Table {
    Table::new(39, 0)
}

fn unit() -> Vec<u8> {
    drhd(true, 0, BASE, &[])
}

fn nic() -> Vec<u8> {
    scope(ENDPOINT, 0, 0, &[(2, 0)])
}

/// The usual unit, and behind it one more structure.
fn with(structure: Vec<u8>) -> Vec<u8> {
    table().with(&unit()).with(&structure).seal()
}

/// A unit that is nowhere, for 00:02.0.
fn named_elsewhere() -> Vec<u8> {
    drhd(false, 0, BASE + 0x2000, &[nic()])
}

/// A structure whose length field says something else.
fn claiming(mut structure: Vec<u8>, length: u16) -> Vec<u8> {
    structure[2..4].copy_from_slice(&length.to_le_bytes());
    structure
}

/// A scope whose length field says something else.
fn scope_claiming(length: u8) -> Vec<u8> {
    let mut bytes = nic();
    bytes[1] = length;
    bytes
}

fn region(base: u64, limit: u64) -> Vec<u8> {
    with(rmrr(0, base, limit, &[nic()]))
}

/// A good table with one byte of the header changed, the checksum right or not.
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
        ("unit-twice-in-two-segments", second(drhd(true, 1, BASE, &[]))),
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
            "unit-beside-another",
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

fn scopes() -> Vec<Named> {
    let named = |scopes: &[Vec<u8>]| {
        table()
            .with(&drhd(false, 0, BASE, scopes))
            .with(&drhd(true, 0, BASE + 0x1000, &[]))
            .seal()
    };
    let long: Vec<(u8, u8)> = (0..120).map(|hop| (hop % 32, 0)).collect();
    vec![
        ("scope-length-0", named(&[scope_claiming(0)])),
        ("scope-length-5", named(&[scope_claiming(5)])),
        ("scope-without-path", named(&[scope(ENDPOINT, 0, 0, &[])])),
        ("scope-odd-length", named(&[scope_claiming(7)])),
        ("scope-beyond-structure", named(&[scope_claiming(0xfe)])),
        ("scope-second-cut", named(&[nic(), vec![1, 8]])),
        (
            "scope-device-32",
            named(&[scope(ENDPOINT, 0, 0, &[(32, 0)])]),
        ),
        (
            "scope-function-8",
            named(&[scope(ENDPOINT, 0, 0, &[(2, 8)])]),
        ),
        (
            "scope-path-multi-hop",
            named(&[scope(ENDPOINT, 0, 0, &[(0x1c, 0), (0, 0), (3, 1)])]),
        ),
        (
            "scope-path-of-120-hops",
            named(&[scope(BRIDGE, 0, 0, &long)]),
        ),
        (
            "scope-of-bad-hop-behind-good",
            named(&[scope(BRIDGE, 0, 0, &[(0x1c, 0), (0xff, 0)])]),
        ),
        (
            "scope-on-absent-bus",
            named(&[scope(ENDPOINT, 0, 0xff, &[(0, 0)])]),
        ),
        ("scope-twice", named(&[nic(), nic()])),
        (
            "scope-in-two-units",
            table()
                .with(&drhd(false, 0, BASE, &[nic()]))
                .with(&drhd(false, 0, BASE + 0x1000, &[nic()]))
                .seal(),
        ),
        (
            "scope-bridge-over-endpoint",
            table()
                .with(&drhd(false, 0, BASE, &[scope(BRIDGE, 0, 0, &[(0x1c, 0)])]))
                .with(&drhd(
                    false,
                    0,
                    BASE + 0x1000,
                    &[scope(ENDPOINT, 0, 0, &[(0x1c, 0), (0, 0)])],
                ))
                .seal(),
        ),
        (
            "scope-ioapic-without-path",
            table()
                .with(&drhd(true, 0, BASE, &[scope(3, 8, 0xf0, &[])]))
                .seal(),
        ),
        (
            "scope-hpet-of-impossible-path",
            table()
                .with(&drhd(
                    true,
                    0,
                    BASE,
                    &[scope(4, 0, 0, &[(0x20, 8)]), scope(9, 0, 0, &[])],
                ))
                .seal(),
        ),
        ("scope-unknown-type", named(&[scope(9, 0, 0, &[(2, 0)])])),
        ("scope-type-0", named(&[scope(0, 0, 0, &[(2, 0)])])),
        (
            "scope-ioapic-hpet-acpi",
            named(&[
                scope(3, 0, 0xff, &[(0, 0)]),
                scope(4, 0, 0, &[(0x1f, 0)]),
                scope(5, 1, 0, &[(0x15, 0)]),
            ]),
        ),
    ]
}

fn regions() -> Vec<Named> {
    let good = (0x7d00_0000, 0x7d7f_ffff);
    let moved = |by| rmrr(0, good.0 + by, good.1 + by, &[nic()]);
    let beside_good = |by| with([moved(0), moved(by)].concat());
    vec![
        ("region", region(good.0, good.1)),
        ("region-inside-ram", region(0x10_0000, 0x1f_ffff)),
        ("region-base-0", region(0, 0xfff)),
        ("region-0-to-0", region(0, 0)),
        (
            "region-base-0-beside-good",
            with([rmrr(0, 0, 0xfff, &[nic()]), moved(0)].concat()),
        ),
        (
            "region-all-wrong-beside-good",
            with(
                [
                    rmrr(0, 0, 0xfff, &[nic()]),
                    rmrr(0, 0x7d7f_f000, 0x7d00_0fff, &[nic()]),
                    rmrr(0, 0x7d00_0800, 0x7d7f_ffff, &[nic()]),
                    rmrr(0, 0x1000, TOP + 0xfff, &[nic()]),
                    rmrr(0, BASE, BASE + 0xfff, &[nic()]),
                    moved(0),
                ]
                .concat(),
            ),
        ),
        (
            "region-of-impossible-device",
            with(rmrr(0, good.0, good.1, &[scope(ENDPOINT, 0, 0, &[(32, 0)])])),
        ),
        ("region-inverted", region(0x7d7f_f000, 0x7d00_0fff)),
        ("region-empty", region(0x7d00_0000, 0x7cff_ffff)),
        ("region-base-unaligned", region(0x7d00_0800, 0x7d7f_ffff)),
        ("region-limit-exclusive", region(0x7d00_0000, 0x7d80_0000)),
        ("region-limit-unaligned", region(0x7d00_0000, 0x7d7f_fdff)),
        ("region-huge", region(0x1000, TOP - 1)),
        ("region-large", region(0x1_0000_0000, TOP - 1)),
        ("region-beyond-host", region(0x1000, TOP + 0xfff)),
        ("region-of-64-bit", region(0x1000, u64::MAX)),
        ("region-over-registers", region(BASE, BASE + 0xfff)),
        ("region-before-registers", region(BASE - 0x1000, BASE - 1)),
        (
            "region-behind-registers",
            region(BASE + 0x1000, BASE + 0x1fff),
        ),
        (
            "region-over-last-registers",
            table()
                .with(&rmrr(0, BASE + 0x3000, BASE + 0x3fff, &[nic()]))
                .with(&sized_drhd(true, 2, 0, BASE, &[]))
                .seal(),
        ),
        ("region-names-nothing", with(rmrr(0, good.0, good.1, &[]))),
        (
            "region-of-other-segment",
            with(rmrr(5, good.0, good.1, &[nic()])),
        ),
        ("region-twice", beside_good(0)),
        ("region-overlaps-another", beside_good(0x1000)),
        (
            "region-too-short",
            with(claiming(rmrr(0, good.0, good.1, &[]), 23)),
        ),
        (
            "region-before-units",
            table()
                .with(&rmrr(0, good.0, good.1, &[nic()]))
                .with(&unit())
                .seal(),
        ),
    ]
}

fn others() -> Vec<Named> {
    vec![
        ("ports-all", with(flagged(2, true, 0, &[]))),
        ("ports-none", with(flagged(2, false, 0, &[]))),
        (
            "ports-named",
            with(flagged(2, false, 0, &[scope(BRIDGE, 0, 0, &[(0x1c, 0)])])),
        ),
        (
            "ports-too-short",
            with(claiming(flagged(2, true, 0, &[]), 7)),
        ),
        (
            "ports-of-impossible-device",
            with(flagged(2, false, 0, &[scope(BRIDGE, 0, 0, &[(0xff, 0)])])),
        ),
        ("affinity", with(rhsa(BASE, 1))),
        ("affinity-of-nothing", with(rhsa(BASE + 0x1000, 1))),
        ("affinity-too-short", with(claiming(rhsa(BASE, 1), 19))),
        ("acpi-device", with(andd(1, b"\\_SB.PCI0.I2C0\0"))),
        (
            "acpi-device-of-a-pci-function",
            table()
                .with(&drhd(true, 0, BASE, &[scope(5, 1, 0, &[(0x15, 0)])]))
                .with(&andd(1, b"\\_SB.PCI0.I2C0\0"))
                .seal(),
        ),
        (
            "acpi-device-behind-a-bridge",
            table()
                .with(&drhd(
                    true,
                    0,
                    BASE,
                    &[scope(5, 1, 0, &[(0x1c, 0), (0, 1)])],
                ))
                .with(&andd(1, b"\\_SB.PCI0.I2C0\0"))
                .seal(),
        ),
        ("acpi-device-unterminated", with(andd(1, b"\\_SB.PCI0"))),
        ("acpi-device-empty", with(andd(1, b"\0\0"))),
        ("acpi-device-binary", with(andd(1, b"\xff\xfe\x01\0"))),
        ("acpi-device-too-short", with(claiming(andd(1, b"X\0"), 9))),
        ("integrated", with(flagged(5, true, 0, &[nic()]))),
        ("integrated-names-nothing", with(flagged(5, false, 0, &[]))),
        (
            "integrated-cut-scope",
            with(flagged(5, false, 0, &[vec![1, 8, 0, 0]])),
        ),
        ("properties", with(flagged(6, false, 0, &[nic()]))),
        (
            "properties-without-path",
            with(flagged(6, false, 0, &[scope(ENDPOINT, 0, 0, &[])])),
        ),
    ]
}
