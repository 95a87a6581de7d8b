// SPDX-License-Identifier: GPL-2.0

//! Tables of real machines from bug reports: this file builds tables of the same shape and checks
//! the result.

use crate::dmar_build::*;
use crate::dmar_select::{chain, unit};
use vtd_core::dmar::error::Problem;
use vtd_core::dmar::{Dmar, Structure};
use vtd_core::spec::address::{PhysAddr, Segment};

type Function = (u8, u8, u8);

fn endpoint(device: u8, function: u8) -> Vec<u8> {
    scope(ENDPOINT, 0, 0, &[(device, function)])
}

fn notes(bytes: &[u8]) -> Vec<String> {
    let mut notes = Vec::new();
    Dmar::parse(bytes)
        .expect("a table of a machine that exists is taken")
        .notes(|note| notes.push(note.to_string()));
    notes
}

fn regions(bytes: &[u8], functions: &[Function]) -> Vec<(u64, u64)> {
    Dmar::parse(bytes)
        .unwrap()
        .regions_for(Segment::new(0), &chain(functions))
        .map(|region| (region.base.raw(), region.limit.raw()))
        .collect()
}

/// Returns a table with one unit for everything and these structures.
fn one_unit(structures: &[Vec<u8>]) -> Vec<u8> {
    Table::new(36, 1)
        .with(&drhd(true, 0, 0xfed9_0000, &[]))
        .with(&structures.concat())
        .seal()
}

/// A server's table has a region 0..=0 for some devices. After a kexec, the in-tree driver refused
/// the whole table because of it, and the disks had no remapping.
#[test]
fn an_empty_region_costs_only_itself() {
    let bytes = one_unit(&[rmrr(0, 0, 0, &[endpoint(2, 0)])]);
    assert_eq!(notes(&bytes).len(), 1);
    assert_eq!(regions(&bytes, &[(0, 2, 0)]), []);
    assert_eq!(unit(&bytes, 0, &[(0, 2, 0)]), Some(0xfed9_0000));
}

/// Laptops of one vendor give page 0 to their USB controllers, and correct regions to other
/// devices.
#[test]
fn a_region_of_page_0_costs_only_itself() {
    let usb = [endpoint(0x1d, 0), endpoint(0x1a, 0)];
    // One unit and one region; three units and two regions.
    let small = one_unit(&[rmrr(0, 0, 0xfff, &usb)]);
    let graphics = (0xbdc0_0000, 0xbfff_ffff);
    let large = Table::new(36, 1)
        .with(&drhd(false, 0, 0xfed9_0000, &[endpoint(0x1b, 0)]))
        .with(&drhd(false, 0, 0xfed9_1000, &[endpoint(2, 0)]))
        .with(&drhd(true, 0, 0xfed9_3000, &[]))
        .with(&rmrr(0, 0, 0xfff, &usb))
        .with(&rmrr(0, graphics.0, graphics.1, &[endpoint(2, 0)]))
        .seal();
    for (bytes, offset) in [(&small, 0x40), (&large, 0x70)] {
        assert_eq!(
            notes(bytes),
            [format!(
                "DMAR table, offset {offset:#x}: RMRR structure ignored: the reserved region \
                 0x0..=0xfff starts at page 0, which no device is given"
            )]
        );
        assert_eq!(regions(bytes, &[(0, 0x1d, 0)]), []);
        assert_eq!(regions(bytes, &[(0, 0x1a, 0)]), []);
    }
    assert_eq!(regions(&large, &[(0, 2, 0)]), [graphics]);
    assert_eq!(unit(&large, 0, &[(0, 2, 0)]), Some(0xfed9_1000));
    assert_eq!(unit(&large, 0, &[(0, 0x1b, 0)]), Some(0xfed9_0000));
    assert_eq!(unit(&large, 0, &[(0, 0x1d, 0)]), Some(0xfed9_3000));
}

/// An older laptop names all functions of both controllers for 0..=0.
#[test]
fn an_empty_region_for_many_functions_costs_only_itself() {
    let usb: Vec<_> = [(0x1d, 0), (0x1d, 1), (0x1d, 2), (0x1d, 7)]
        .into_iter()
        .chain([(0x1a, 0), (0x1a, 1), (0x1a, 2), (0x1a, 7)])
        .map(|(device, function)| endpoint(device, function))
        .collect();
    let graphics = [endpoint(2, 0), endpoint(2, 1)];
    let bytes = Table::new(36, 0)
        .with(&drhd(false, 0, 0xfeb0_3000, &[endpoint(0x1b, 0)]))
        .with(&drhd(false, 0, 0xfeb0_1000, &graphics))
        .with(&drhd(true, 0, 0xfeb0_2000, &[]))
        .with(&rmrr(0, 0, 0, &usb))
        .with(&rmrr(0, 0xbbc0_0000, 0xbfff_ffff, &graphics))
        .seal();
    assert_eq!(notes(&bytes).len(), 1);
    assert_eq!(regions(&bytes, &[(0, 0x1d, 7)]), []);
    assert_eq!(regions(&bytes, &[(0, 2, 1)]), [(0xbbc0_0000, 0xbfff_ffff)]);
    assert_eq!(unit(&bytes, 0, &[(0, 0x1d, 7)]), Some(0xfeb0_2000));
}

/// The second table of a workstation lists each of its four units twice.
#[test]
fn a_table_that_lists_every_unit_twice_has_each_once() {
    let root = |bus| scope(BRIDGE, 0, bus, &[(0, 0)]);
    let units = [
        drhd(
            false,
            0,
            0x8fff_c000,
            &[root(0x20), scope(BRIDGE, 0, 0x20, &[(2, 0)])],
        ),
        drhd(false, 0, 0xdfff_c000, &[root(0x40)]),
        drhd(false, 0, 0xfbff_c000, &[root(0x80)]),
        drhd(true, 0, 0x7fff_c000, &[scope(3, 8, 0xf0, &[(0x1f, 0)])]),
    ];
    let ports = flagged(2, false, 0, &[root(0x20)]);
    let bytes = Table::new(46, 1)
        .with(&units.concat())
        .with(&ports)
        .with(&units.concat())
        .with(&ports)
        .seal();
    let places: Vec<_> = Dmar::parse(&bytes)
        .unwrap()
        .units()
        .map(|unit| unit.register_base.raw())
        .collect();
    assert_eq!(places, [0x8fff_c000, 0xdfff_c000, 0xfbff_c000, 0x7fff_c000]);
    let notes = notes(&bytes);
    assert_eq!(notes.len(), 4, "{notes:?}");
    assert!(notes
        .iter()
        .all(|note| note.contains("it repeats the unit")));
    assert_eq!(
        unit(&bytes, 0, &[(0x40, 0, 0), (0x41, 0, 0)]),
        Some(0xdfff_c000)
    );
    assert_eq!(unit(&bytes, 0, &[(0, 0x1f, 2)]), Some(0x7fff_c000));
}

/// A server names a host bridge, which has an endpoint header, with a bridge scope. The in-tree
/// driver refused that ("Device scope type does not match").
#[test]
fn a_bridge_scope_is_used_by_its_kind_and_not_by_a_header() {
    let named = scope(BRIDGE, 0, 0x80, &[(0, 0)]);
    let bytes = Table::new(46, 1)
        .with(&drhd(false, 0, 0x1000, &[named]))
        .with(&drhd(true, 0, 0x2000, &[]))
        .seal();
    assert_eq!(unit(&bytes, 0, &[(0x80, 0, 0)]), Some(0x1000));
    assert_eq!(unit(&bytes, 0, &[(0x80, 0, 0), (0x81, 0, 0)]), Some(0x1000));
    assert_eq!(unit(&bytes, 0, &[(0x80, 1, 0)]), Some(0x2000));
}

/// Mainboards of several vendors name a device behind a bridge by the bus number that it had at
/// boot ("RMRR entry for device 05:00.0 is broken - applying workaround").
#[test]
fn a_scope_that_starts_behind_a_bridge_names_the_device_on_that_bus() {
    let bytes = one_unit(&[rmrr(0, 0x1000, 0x1fff, &[scope(ENDPOINT, 0, 5, &[(0, 0)])])]);
    let has = |functions: &[Function]| !regions(&bytes, functions).is_empty();
    assert!(has(&[(0, 0x1c, 0), (5, 0, 0)]));
    assert!(!has(&[(0, 0x1c, 0), (6, 0, 0)]));
    assert!(!has(&[(5, 0, 0), (6, 0, 0)]));
}

/// Laptops whose firmware left the base of a unit empty; the in-tree driver refuses these tables.
#[test]
fn a_unit_without_registers_costs_the_table() {
    let bytes = Table::new(39, 1)
        .with(&drhd(false, 0, 0xfed9_0000, &[endpoint(2, 0)]))
        .with(&drhd(
            false,
            0,
            0xfed8_4000,
            &[scope(BRIDGE, 0, 0, &[(7, 0)])],
        ))
        .with(&drhd(true, 0, 0, &[]))
        .seal();
    let error = Dmar::parse(&bytes).map(|_| ()).unwrap_err();
    let base = PhysAddr::new(0);
    assert_eq!(error.problem, Problem::RegisterBase { base });
    assert_eq!((error.offset, error.structure), (96, Some(0)));
}

/// A server with 64 sockets: 640 units in 4 segments, more than the in-tree driver had room for.
#[test]
fn there_is_no_limit_of_units() {
    let place = |n: u64| 0x1000_0000 + n * 0x1000;
    let mut table = Table::new(46, 1);
    for n in 0..640u64 {
        let segment = (n / 160) as u16;
        let last = n % 160 == 159;
        let bus = (n % 160) as u8;
        let named = (!last).then(|| scope(BRIDGE, 0, bus, &[(1, 0)]));
        table = table.with(&drhd(last, segment, place(n), named.as_slice()));
    }
    for n in 0..640 {
        table = table.with(&rhsa(place(n), n as u32 / 10));
    }
    let bytes = table.seal();
    let dmar = Dmar::parse(&bytes).unwrap();
    assert_eq!(dmar.units().count(), 640);
    assert_eq!(notes(&bytes), [""; 0]);
    assert_eq!(dmar.proximity_of(PhysAddr::new(place(639))), Some(63));
    assert_eq!(unit(&bytes, 2, &[(7, 1, 0), (9, 0, 0)]), Some(place(327)));
    assert_eq!(unit(&bytes, 3, &[(7, 2, 0)]), Some(place(639)));
    assert_eq!(unit(&bytes, 4, &[(7, 1, 0)]), None);
}

/// A server whose management processor reads memory through functions behind two bridges
/// ("ineligible for IOMMU domain attach due to platform RMRR requirement").
#[test]
fn a_region_of_functions_behind_bridges_belongs_to_just_those() {
    let scopes = [
        scope(ENDPOINT, 0, 0, &[(1, 1), (0, 0)]),
        scope(ENDPOINT, 0, 0, &[(0x1c, 7), (0, 0)]),
        scope(ENDPOINT, 0, 0, &[(0x1c, 7), (0, 2)]),
        endpoint(0x1f, 2),
    ];
    let bytes = one_unit(&[rmrr(0, 0xe_8000, 0xe_8fff, &scopes)]);
    let has = |functions: &[Function]| !regions(&bytes, functions).is_empty();
    assert!(has(&[(0, 0x1c, 7), (1, 0, 2)]));
    assert!(has(&[(0, 1, 1), (0x30, 0, 0)]));
    assert!(has(&[(0, 0x1f, 2)]));
    assert!(!has(&[(0, 0x1c, 7), (1, 0, 4)]));
    assert!(!has(&[(0, 0x1c, 6), (1, 0, 2)]));
    assert!(!has(&[(0, 0x1c, 7)]));
}

/// One region names USB controllers and a bridge: all devices below the bridge have it too.
#[test]
fn a_region_of_a_bridge_belongs_to_all_below_it() {
    let scopes = [
        endpoint(0x1d, 0),
        endpoint(0x1d, 1),
        endpoint(0x1a, 0),
        scope(BRIDGE, 0, 0, &[(0x1c, 0)]),
    ];
    let bytes = one_unit(&[rmrr(0, 0xad00_0000, 0xad00_ffff, &scopes)]);
    let has = |functions: &[Function]| !regions(&bytes, functions).is_empty();
    assert!(has(&[(0, 0x1d, 0)]) && has(&[(0, 0x1a, 0)]));
    assert!(has(&[(0, 0x1c, 0)]) && has(&[(0, 0x1c, 0), (3, 0, 0)]));
    assert!(!has(&[(0, 0x1c, 1), (4, 0, 0)]));
}

/// An ACPI device whose scope names a PCI function is served if the machine has that function. On
/// machines that hide the function, its DMA stays blocked.
#[test]
fn an_acpi_device_is_served_as_the_pci_function_that_it_may_be() {
    let bytes = Table::new(39, 1)
        .with(&drhd(false, 0, 0xfed9_0000, &[endpoint(2, 0)]))
        .with(&drhd(
            true,
            0,
            0xfed9_1000,
            &[scope(5, 1, 0, &[(0x15, 0)]), scope(5, 2, 0, &[(0x15, 1)])],
        ))
        // 23 bytes, so that the next structure is at an odd offset.
        .with(&andd(1, b"\\_SB.PCI0.I2C0\0"))
        .with(&andd(2, b"\\_SB.PCI0.I2C1\0"))
        .with(&andd(3, b"\\_SB.PCI0.SDHC\0"))
        .seal();
    assert_eq!(unit(&bytes, 0, &[(0, 0x15, 1)]), Some(0xfed9_1000));
    let said = notes(&bytes);
    let ends = [
        "I2C0 stays blocked unless it is the PCI function 0000:00:15.0",
        "I2C1 stays blocked unless it is the PCI function 0000:00:15.1",
        "SDHC stays blocked: only PCI functions are supported",
    ];
    assert_eq!(said.len(), 3);
    for (said, end) in said.iter().zip(ends) {
        assert!(said.ends_with(end), "{said}");
    }
}

/// Units without scopes, on a server with two sockets, serve no device, which does no harm.
#[test]
fn units_without_scopes_serve_no_device() {
    let mut table = Table::new(46, 1);
    for n in 0..9 {
        table = table.with(&drhd(false, 0, 0x1000 * (n + 1), &[]));
    }
    let bytes = table
        .with(&drhd(true, 0, 0x1_0000, &[]))
        .with(&rhsa(0x1000, 0))
        .seal();
    assert_eq!(unit(&bytes, 0, &[(0, 3, 0)]), Some(0x1_0000));
    let said = notes(&bytes);
    assert_eq!(said.len(), 9);
    assert!(said
        .iter()
        .all(|said| said.ends_with("DRHD structure names no device")));
}

/// Integrated devices that need their device-TLB (every SATC of newer laptops sets the flag) are
/// served like others.
#[test]
fn integrated_devices_with_a_device_tlb_are_behind_their_unit() {
    let bytes = one_unit(&[
        flagged(5, true, 0, &[endpoint(2, 0), endpoint(5, 0)]),
        flagged(6, false, 0, &[endpoint(2, 0)]),
    ]);
    assert_eq!(notes(&bytes), [""; 0]);
    assert_eq!(unit(&bytes, 0, &[(0, 5, 0)]), Some(0xfed9_0000));
    let required = Dmar::parse(&bytes)
        .unwrap()
        .structures()
        .any(|it| matches!(it, Structure::Satc(it) if it.atc_required));
    assert!(required);
}
