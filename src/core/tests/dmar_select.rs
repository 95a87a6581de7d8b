// SPDX-License-Identifier: GPL-2.0

//! The selection of the unit that serves a device.

use crate::dmar_build::*;
use vtd_core::dmar::Dmar;
use vtd_core::spec::address::{Segment, SourceId};

pub(crate) fn chain(functions: &[(u8, u8, u8)]) -> Vec<SourceId> {
    functions
        .iter()
        .map(|(bus, device, function)| SourceId::new(*bus, *device, *function).unwrap())
        .collect()
}

pub(crate) fn unit(bytes: &[u8], segment: u16, functions: &[(u8, u8, u8)]) -> Option<u64> {
    Dmar::parse(bytes)
        .unwrap()
        .unit_for(Segment::new(segment), &chain(functions))
        .map(|unit| unit.register_base.raw())
}

/// Returns a table with graphics behind one unit, a bridge behind another, the rest behind a third.
fn laptop() -> Vec<u8> {
    Table::new(39, 0)
        .with(&drhd(false, 0, 0x1000, &[scope(ENDPOINT, 0, 0, &[(2, 0)])]))
        .with(&drhd(
            false,
            0,
            0x2000,
            &[
                scope(BRIDGE, 0, 0, &[(0x1c, 0)]),
                scope(ENDPOINT, 0, 0, &[(0x1d, 0), (3, 1)]),
            ],
        ))
        .with(&drhd(true, 0, 0x3000, &[]))
        .seal()
}

#[test]
fn a_named_endpoint_belongs_to_the_unit_that_names_it() {
    assert_eq!(unit(&laptop(), 0, &[(0, 2, 0)]), Some(0x1000));
    assert_eq!(unit(&laptop(), 0, &[(0, 2, 1)]), Some(0x3000));
}

#[test]
fn a_bridge_scope_covers_everything_below_it() {
    assert_eq!(unit(&laptop(), 0, &[(0, 0x1c, 0)]), Some(0x2000));
    assert_eq!(unit(&laptop(), 0, &[(0, 0x1c, 0), (5, 0, 0)]), Some(0x2000));
    let deep = [(0, 0x1c, 0), (5, 0, 0), (6, 4, 0), (9, 0, 7)];
    assert_eq!(unit(&laptop(), 0, &deep), Some(0x2000));
    assert_eq!(unit(&laptop(), 0, &[(0, 0x1c, 1), (5, 0, 0)]), Some(0x3000));
}

#[test]
fn an_endpoint_scope_covers_nothing_below_it() {
    assert_eq!(unit(&laptop(), 0, &[(0, 2, 0), (7, 0, 0)]), Some(0x3000));
}

#[test]
fn paths_are_followed_whatever_number_the_bus_has() {
    for bus in [1, 9, 0xff] {
        assert_eq!(
            unit(&laptop(), 0, &[(0, 0x1d, 0), (bus, 3, 1)]),
            Some(0x2000)
        );
        assert_eq!(
            unit(&laptop(), 0, &[(0, 0x1d, 0), (bus, 3, 0)]),
            Some(0x3000)
        );
    }
    // The bridge on the path is not named itself.
    assert_eq!(unit(&laptop(), 0, &[(0, 0x1d, 0)]), Some(0x3000));
}

#[test]
fn unnamed_devices_belong_to_include_all_of_their_segment() {
    assert_eq!(unit(&laptop(), 0, &[(0, 9, 0)]), Some(0x3000));
    assert_eq!(unit(&laptop(), 1, &[(0, 2, 0)]), None);
    let two = Table::new(39, 0)
        .with(&drhd(true, 0, 0x1000, &[]))
        .with(&drhd(true, 5, 0x2000, &[]))
        .seal();
    assert_eq!(unit(&two, 5, &[(0, 2, 0)]), Some(0x2000));
    assert_eq!(unit(&two, 6, &[(0, 2, 0)]), None);
}

#[test]
fn include_all_has_the_lowest_precedence_wherever_it_is_listed() {
    let table = Table::new(39, 0)
        .with(&drhd(true, 0, 0x1000, &[]))
        .with(&drhd(false, 0, 0x2000, &[scope(ENDPOINT, 0, 0, &[(2, 0)])]))
        .seal();
    assert_eq!(unit(&table, 0, &[(0, 2, 0)]), Some(0x2000));
    assert_eq!(unit(&table, 0, &[(0, 3, 0)]), Some(0x1000));
}

#[test]
fn the_closest_name_wins() {
    let table = Table::new(39, 0)
        .with(&drhd(false, 0, 0x1000, &[scope(BRIDGE, 0, 0, &[(1, 0)])]))
        .with(&drhd(
            false,
            0,
            0x2000,
            &[scope(ENDPOINT, 0, 0, &[(1, 0), (0, 0)])],
        ))
        .seal();
    assert_eq!(unit(&table, 0, &[(0, 1, 0), (4, 0, 0)]), Some(0x2000));
    assert_eq!(unit(&table, 0, &[(0, 1, 0), (4, 1, 0)]), Some(0x1000));
}

/// QEMU q35: no INCLUDE_PCI_ALL; every function of bus 0 is listed, and a pxb-pcie by its own bus
/// number; devices below a pxb with bypass_iommu are behind no unit.
#[test]
fn a_table_as_qemu_makes_it_serves_what_it_lists() {
    let scopes = [
        scope(3, 0, 0xff, &[(0, 0)]),
        scope(ENDPOINT, 0, 0, &[(0, 0)]),
        scope(BRIDGE, 0, 0, &[(3, 0)]),
        scope(ENDPOINT, 0, 0, &[(5, 0)]),
        scope(BRIDGE, 0, 0x40, &[(0, 0)]),
    ];
    let table = Table::new(39, 1)
        .with(&drhd(false, 0, 0xfed9_0000, &scopes))
        .with(&flagged(2, true, 0, &[]))
        .seal();
    assert_eq!(unit(&table, 0, &[(0, 5, 0)]), Some(0xfed9_0000));
    assert_eq!(unit(&table, 0, &[(0, 3, 0), (1, 0, 0)]), Some(0xfed9_0000));
    assert_eq!(
        unit(&table, 0, &[(0x40, 0, 0), (0x41, 0, 0)]),
        Some(0xfed9_0000)
    );
    assert_eq!(unit(&table, 0, &[(0, 6, 0)]), None);
    assert_eq!(unit(&table, 0, &[(0x60, 0, 0), (0x61, 0, 0)]), None);
    let dmar = Dmar::parse(&table).unwrap();
    assert!(dmar.takes_translation_requests(Segment::new(0), &chain(&[(0, 3, 0)])));
    assert!(!dmar.takes_translation_requests(Segment::new(1), &chain(&[(0, 3, 0)])));
}

#[test]
fn no_chain_is_covered_by_no_name() {
    assert_eq!(unit(&laptop(), 0, &[]), Some(0x3000));
    let named = Table::new(39, 0)
        .with(&drhd(false, 0, 0x1000, &[scope(BRIDGE, 0, 0, &[(1, 0)])]))
        .seal();
    assert_eq!(unit(&named, 0, &[]), None);
}

#[test]
fn an_ioapic_on_a_pci_address_is_no_pci_device() {
    let table = Table::new(39, 0)
        .with(&drhd(
            false,
            0,
            0x1000,
            &[scope(3, 1, 0, &[(2, 0)]), scope(9, 0, 0, &[(2, 0)])],
        ))
        .seal();
    assert_eq!(unit(&table, 0, &[(0, 2, 0)]), None);
}

#[test]
fn regions_belong_to_the_devices_they_name() {
    let table = Table::new(39, 0)
        .with(&drhd(true, 0, 0x1000, &[]))
        .with(&rmrr(
            0,
            0x2000,
            0x2fff,
            &[scope(ENDPOINT, 0, 0, &[(0x14, 0)])],
        ))
        .with(&rmrr(
            0,
            0x4000,
            0x7fff,
            &[
                scope(ENDPOINT, 0, 0, &[(0x14, 0)]),
                scope(ENDPOINT, 0, 0, &[(2, 0)]),
            ],
        ))
        .with(&rmrr(
            1,
            0x9000,
            0x9fff,
            &[scope(ENDPOINT, 0, 0, &[(2, 0)])],
        ))
        .seal();
    let dmar = Dmar::parse(&table).unwrap();
    let of = |functions: &[(u8, u8, u8)]| -> Vec<u64> {
        dmar.regions_for(Segment::new(0), &chain(functions))
            .map(|region| region.base.raw())
            .collect()
    };
    assert_eq!(of(&[(0, 0x14, 0)]), [0x2000, 0x4000]);
    assert_eq!(of(&[(0, 2, 0)]), [0x4000]);
    assert_eq!(of(&[(0, 3, 0)]), [0u64; 0]);
}

#[test]
fn a_scope_resolves_over_the_bridges_of_this_machine() {
    let table = Table::new(39, 0)
        .with(&drhd(
            false,
            0,
            0x1000,
            &[scope(ENDPOINT, 0, 0, &[(1, 0), (2, 1), (3, 2)])],
        ))
        .seal();
    let scope = Dmar::parse(&table)
        .unwrap()
        .units()
        .next()
        .unwrap()
        .scopes
        .iter()
        .next()
        .unwrap();
    let buses = |_, bridge: SourceId| match (bridge.bus(), bridge.device()) {
        (0, 1) => Some(0x10),
        (0x10, 2) => Some(0x20),
        _ => None,
    };
    let found = scope.resolve(Segment::new(0), buses);
    assert_eq!(found, SourceId::new(0x20, 3, 2));
    assert_eq!(scope.resolve(Segment::new(0), |_, _| None), None);
}
