// SPDX-License-Identifier: GPL-2.0

//! Correct tables, and what the parser reads from them.

use crate::dmar_build::*;
use vtd_core::dmar::{Dmar, ScopeKind, Structure};
use vtd_core::spec::address::{PhysAddr, Segment};

fn notes(bytes: &[u8]) -> Vec<String> {
    let mut notes = Vec::new();
    Dmar::parse(bytes)
        .unwrap()
        .notes(|note| notes.push(note.to_string()));
    notes
}

#[test]
fn the_header_is_read() {
    let (bytes, _) = everything();
    let dmar = Dmar::parse(&bytes).unwrap();
    assert_eq!(dmar.host_bits(), 39);
    assert!(dmar.interrupt_remapping() && dmar.x2apic_opt_out() && dmar.platform_opt_in());
    let plain = Table::new(52, 0).with(&drhd(true, 0, 0x1000, &[])).seal();
    let dmar = Dmar::parse(&plain).unwrap();
    assert_eq!(dmar.host_bits(), 52);
    assert!(!dmar.interrupt_remapping() && !dmar.x2apic_opt_out() && !dmar.platform_opt_in());
}

#[test]
fn every_structure_is_recognised_in_order() {
    let (bytes, _) = everything();
    let kinds: Vec<_> = Dmar::parse(&bytes)
        .unwrap()
        .structures()
        .map(|structure| match structure {
            Structure::Drhd(_) => 0,
            Structure::Rmrr(_) => 1,
            Structure::Atsr(_) => 2,
            Structure::Rhsa(_) => 3,
            Structure::Andd(_) => 4,
            Structure::Satc(_) => 5,
            Structure::Sidp(_) => 6,
            Structure::Unknown { kind, .. } => kind,
            Structure::Ignored { error, .. } => panic!("{error}"),
        })
        .collect();
    assert_eq!(kinds, [0, 0, 0, 1, 2, 3, 4, 5, 6, 0x7f]);
}

#[test]
fn a_unit_has_the_proximity_domain_of_the_rhsa_that_names_its_registers() {
    let (bytes, _) = everything();
    let dmar = Dmar::parse(&bytes).unwrap();
    assert_eq!(dmar.proximity_of(PhysAddr::new(0xfed9_0000)), Some(3));
    assert_eq!(dmar.proximity_of(PhysAddr::new(0xfed9_1000)), None);
}

#[test]
fn units_are_read() {
    let (bytes, _) = everything();
    let units: Vec<_> = Dmar::parse(&bytes).unwrap().units().collect();
    let seen: Vec<_> = units
        .iter()
        .map(|unit| {
            (
                unit.include_all,
                unit.segment.raw(),
                unit.register_base.raw(),
                unit.register_bytes,
                unit.scopes.iter().count(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (false, 0, 0xfed9_0000, 8192, 2),
            (true, 0, 0xfed9_2000, 4096, 3),
            (true, 1, 0xfed9_4000, 4096, 0),
        ]
    );
    assert_eq!(units[0].offset, 48);
}

#[test]
fn scopes_are_read() {
    let (bytes, _) = everything();
    let scopes: Vec<_> = Dmar::parse(&bytes)
        .unwrap()
        .units()
        .flat_map(|unit| unit.scopes)
        .map(|scope| {
            let path: Vec<_> = scope.path().collect();
            assert_eq!(path.len(), scope.hops());
            (scope.kind, scope.enumeration_id, scope.start_bus, path)
        })
        .collect();
    assert_eq!(
        scopes,
        [
            (ScopeKind::Endpoint, 0, 0, vec![(2, 0)]),
            (ScopeKind::Bridge, 0, 0, vec![(0x1c, 0), (3, 1)]),
            (ScopeKind::IoApic, 8, 0xf0, vec![(0x1f, 0)]),
            (ScopeKind::Hpet, 0, 0, vec![(0x1f, 7)]),
            (ScopeKind::Namespace, 1, 0, vec![(0x15, 0)]),
        ]
    );
}

#[test]
fn the_other_structures_are_read() {
    let (bytes, _) = everything();
    let dmar = Dmar::parse(&bytes).unwrap();
    let region = dmar.reserved_regions().next().unwrap();
    assert_eq!(region.segment, Segment::new(0));
    assert_eq!(region.base, PhysAddr::new(0x7d00_0000));
    assert_eq!(region.limit, PhysAddr::new(0x7d7f_ffff));
    assert_eq!(region.bytes(), 0x80_0000);
    let mut seen = 0;
    for structure in dmar.structures() {
        match structure {
            Structure::Atsr(ports) => assert!(!ports.all_ports && !ports.scopes.is_empty()),
            Structure::Rhsa(affinity) => {
                assert_eq!(affinity.register_base, PhysAddr::new(0xfed9_0000));
                assert_eq!(affinity.proximity_domain, 3);
            }
            Structure::Andd(device) => {
                assert_eq!(
                    (device.device_number, device.name),
                    (1, &b"\\_SB.PCI0.I2C0"[..])
                );
            }
            Structure::Satc(cache) => assert!(cache.atc_required),
            Structure::Sidp(property) => assert_eq!(property.scopes.iter().count(), 1),
            _ => continue,
        }
        seen += 1;
    }
    assert_eq!(seen, 5);
}

#[test]
fn bytes_after_the_table_are_not_read() {
    let (bytes, _) = everything();
    let longer = [&bytes[..], &[0xff; 64]].concat();
    let short = format!("{:?}", Dmar::parse(&bytes).unwrap());
    assert_eq!(format!("{:?}", Dmar::parse(&longer).unwrap()), short);
}

#[test]
fn an_ordinary_table_needs_no_note() {
    let table = Table::new(46, 1)
        .with(&drhd(false, 0, 0x1000, &[scope(ENDPOINT, 0, 0, &[(2, 0)])]))
        .with(&drhd(true, 0, 0x3000, &[]))
        .with(&rmrr(
            0,
            0x4000,
            0x4fff,
            &[scope(ENDPOINT, 0, 0, &[(2, 0)])],
        ))
        .with(&flagged(2, true, 0, &[]))
        .with(&rhsa(0x3000, 0));
    assert_eq!(notes(&table.seal()), [""; 0]);
}

#[test]
fn unusual_contents_are_noted_and_accepted() {
    let table = Table::new(46, 0)
        .with(&sized_drhd(true, 0x12, 0, 0x10_0000, &[]))
        .with(&drhd(false, 0, 0x20_0000, &[scope(9, 0, 0, &[(1, 0)])]))
        .with(&drhd(false, 1, 0x30_0000, &[]))
        .with(&rmrr(0, 0x1000, 0x1fff, &[]))
        .with(&rhsa(0x40_0000, 0))
        .with(&structure(200, &[]))
        .with(&andd(1, b"\\_SB.I2C\x01\0"));
    assert_eq!(
        notes(&table.seal()),
        [
            "DMAR table, offset 0x30: reserved bits of the register size 0x12 ignored",
            "DMAR table, offset 0x30: INCLUDE_PCI_ALL unit is not the last of segment 0000; \
             units that name their devices still take precedence",
            "DMAR table, offset 0x50: device scope of unknown type 9 skipped",
            "DMAR table, offset 0x58: DRHD structure names no device",
            "DMAR table, offset 0x68: RMRR structure names no device",
            "DMAR table, offset 0x80: RHSA structure for 0x400000, where there is no unit, ignored",
            "DMAR table, offset 0x94: structure of unknown type 200 skipped",
            "DMAR table, offset 0x98: DMA of ACPI device \\_SB.I2C\\x01 stays blocked: only PCI \
             functions are supported",
        ]
    );
}
