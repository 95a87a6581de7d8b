// SPDX-License-Identifier: GPL-2.0

//! The tables of the corpus with unusual contents: scopes, regions, other structures.

use crate::dmar_build::*;
use crate::dmar_corpus_tables::{
    claiming, nic, scope_claiming, table, unit, with, Named, BASE, TOP,
};

fn region(base: u64, limit: u64) -> Vec<u8> {
    with(rmrr(0, base, limit, &[nic()]))
}

pub(crate) fn scopes() -> Vec<Named> {
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

pub(crate) fn regions() -> Vec<Named> {
    let good = (0x7d00_0000, 0x7d7f_ffff);
    let moved = |by| rmrr(0, good.0 + by, good.1 + by, &[nic()]);
    let good_and_moved = |by| with([moved(0), moved(by)].concat());
    vec![
        ("region", region(good.0, good.1)),
        ("region-inside-ram", region(0x10_0000, 0x1f_ffff)),
        ("region-base-0", region(0, 0xfff)),
        ("region-0-to-0", region(0, 0)),
        (
            "region-base-0-with-good",
            with([rmrr(0, 0, 0xfff, &[nic()]), moved(0)].concat()),
        ),
        (
            "region-all-wrong-with-good",
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
            with(rmrr(
                0,
                good.0,
                good.1,
                &[scope(ENDPOINT, 0, 0, &[(32, 0)])],
            )),
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
        ("region-twice", good_and_moved(0)),
        ("region-overlaps-another", good_and_moved(0x1000)),
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

pub(crate) fn others() -> Vec<Named> {
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
