// SPDX-License-Identifier: GPL-2.0

//! Units whose devices do not exist.

use crate::dmar_build::*;
use crate::quirks_ids::{function, DISPLAY, HOST_BRIDGE};
use crate::quirks_machines::verdicts;
use vtd_core::quirks::{LeaveOutReason, PciFunction, UnitVerdict};
use vtd_core::spec::address::{Segment, SourceId};

fn machine() -> Vec<PciFunction> {
    let mut port = function(0x1c, 0x9d10, 0x06_04_00);
    port.buses_below = Some((1, 3));
    let mut unused = function(0x1d, 0x9d14, 0x06_04_00);
    unused.source = SourceId::new(0, 0x1d, 4).unwrap();
    unused.buses_below = Some((0, 0));
    let mut below = function(0, 0x10d3, 0x02_00_00);
    below.source = SourceId::new(1, 0, 0).unwrap();
    below.on_root_bus = false;
    let mut far = function(5, 0x10d3, 0x02_00_00);
    far.segment = Segment::new(1);
    vec![
        function(0, 0x3ec4, HOST_BRIDGE),
        function(2, 0x3e9b, DISPLAY),
        port,
        unused,
        below,
        far,
    ]
}

/// Returns whether a unit with these scopes is used.
fn is_served(segment: u16, scopes: &[Vec<u8>]) -> bool {
    let table = Table::new(36, 0)
        .with(&drhd(false, segment, 0xfed9_0000, scopes))
        .with(&drhd(true, 0, 0xfed9_1000, &[]))
        .seal();
    let of = verdicts(&table, &machine(), "");
    assert!(
        matches!(of[1].1, UnitVerdict::Serve(_)),
        "the unit for everything"
    );
    match of[0].1 {
        UnitVerdict::Serve(_) => true,
        UnitVerdict::LeaveOut(LeaveOutReason::NoDevice) => false,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_unit_without_possible_devices_is_left_out() {
    assert!(!is_served(0, &[]));
    assert!(!is_served(0, &[scope(ENDPOINT, 0, 0, &[(0x1e, 0)])]));
    assert!(
        !is_served(0, &[scope(ENDPOINT, 0, 0, &[(2, 1)])]),
        "another function"
    );
    assert!(!is_served(0, &[scope(BRIDGE, 0, 0, &[(0x1d, 0)])]));
    assert!(!is_served(
        0,
        &[scope(ENDPOINT, 0, 0, &[(0x1d, 0), (0, 0)])]
    ));
    assert!(
        !is_served(0, &[scope(ENDPOINT, 0, 0x40, &[(2, 0)])]),
        "a bus that is not there"
    );
    assert!(
        !is_served(0, &[scope(ENDPOINT, 0, 0, &[(5, 0)])]),
        "there in another segment"
    );
    assert!(!is_served(1, &[scope(ENDPOINT, 0, 0, &[(2, 0)])]));
    // These devices send interrupts and do no DMA.
    assert!(!is_served(
        0,
        &[scope(3, 8, 0, &[(2, 0)]), scope(4, 0, 0, &[(2, 0)])]
    ));
}

#[test]
fn a_unit_with_one_device_is_served() {
    let absent = scope(ENDPOINT, 0, 0, &[(0x1e, 0)]);
    for there in [
        scope(ENDPOINT, 0, 0, &[(2, 0)]),
        scope(BRIDGE, 0, 0, &[(0x1c, 0)]),
        scope(ENDPOINT, 0, 0, &[(0x1c, 0), (0, 0)]),
        scope(ENDPOINT, 0, 1, &[(0, 0)]),
    ] {
        assert!(is_served(0, &[there.clone()]));
        assert!(is_served(0, &[absent.clone(), there]));
    }
    assert!(is_served(1, &[scope(ENDPOINT, 0, 0, &[(5, 0)])]));
}

#[test]
fn a_unit_whose_devices_may_be_hot_plugged_is_served() {
    // Below a port that exists, by its path or by the bus number that firmware assigned.
    assert!(is_served(0, &[scope(ENDPOINT, 0, 0, &[(0x1c, 0), (7, 0)])]));
    assert!(is_served(
        0,
        &[scope(BRIDGE, 0, 0, &[(0x1c, 0), (0, 0), (1, 0)])]
    ));
    for bus in 1..=3 {
        assert!(is_served(0, &[scope(ENDPOINT, 0, bus, &[(9, 0)])]));
    }
    assert!(!is_served(0, &[scope(ENDPOINT, 0, 4, &[(9, 0)])]));
    // A device that is not a PCI device, and an unknown scope: their DMA stays blocked.
    assert!(is_served(0, &[scope(5, 1, 0, &[(0x15, 0)])]));
    assert!(is_served(0, &[scope(0, 0, 0, &[(0x15, 0)])]));
    assert!(is_served(0, &[scope(77, 0, 0, &[(0x15, 0)])]));
}
