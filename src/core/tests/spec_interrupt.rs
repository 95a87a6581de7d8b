// SPDX-License-Identifier: GPL-2.0

//! Interrupt remapping: entries, table address, messages.

use proptest::prelude::*;
use vtd_core::spec::address::{PhysAddr, SourceId};
use vtd_core::spec::interrupt::{
    table_address, ApicMode, InterruptEntry, InterruptTarget, RemappableRequest, SourceCheck,
};

fn id(bus: u8, device: u8, function: u8) -> SourceId {
    SourceId::new(bus, device, function).unwrap()
}

const TARGET: InterruptTarget = InterruptTarget {
    vector: 0x41,
    destination: 0x83,
    logical: true,
};

#[test]
fn an_entry_equals_the_one_computed_by_hand() {
    let exact = SourceCheck::Source(id(1, 0, 0));
    // P, DM and RH; vector in bits 23:16; the 8-bit destination in bits 47:40. SVT 1.
    let entry = InterruptEntry::new(TARGET, exact, ApicMode::XApic).unwrap();
    assert_eq!((entry.low, entry.high), (0x0000_8300_0041_000d, 0x4_0100));
    // The 32-bit destination in bits 63:32.
    let entry = InterruptEntry::new(TARGET, exact, ApicMode::X2Apic).unwrap();
    assert_eq!(entry.low, 0x0000_0083_0041_000d);
    let physical = InterruptTarget {
        logical: false,
        ..TARGET
    };
    assert_eq!(
        InterruptEntry::low(physical, ApicMode::X2Apic),
        Some(0x0000_0083_0041_0009)
    );
    // SQ 3; SVT 2 with the first bus in bits 15:8 and the last one in bits 7:0.
    assert_eq!(
        InterruptEntry::high(SourceCheck::Device(id(0, 5, 1))),
        0x7_0029
    );
    let buses = SourceCheck::Buses { first: 2, last: 4 };
    assert_eq!(InterruptEntry::high(buses), 0x8_0204);
}

#[test]
fn a_destination_that_does_not_fit_is_refused() {
    let far = InterruptTarget {
        destination: 0x100,
        ..TARGET
    };
    assert_eq!(InterruptEntry::low(far, ApicMode::XApic), None);
    assert!(InterruptEntry::low(far, ApicMode::X2Apic).is_some());
}

#[test]
fn an_absent_entry_refuses_everything() {
    assert!(!InterruptEntry::ABSENT.is_present());
    let silent = InterruptEntry::ABSENT.without_fault_processing();
    assert!(!silent.is_present() && silent.is_fault_processing_disabled());
}

#[test]
fn a_table_of_256_entries_is_one_page() {
    let at = PhysAddr::new(0x1234_5000);
    assert_eq!(table_address(at, 0, ApicMode::XApic), Some(0x1234_5007));
    assert_eq!(table_address(at, 8, ApicMode::X2Apic), Some(0x1234_580f));
    assert_eq!(table_address(at, 9, ApicMode::XApic), None);
    assert_eq!(
        table_address(PhysAddr::new(0x800), 0, ApicMode::XApic),
        None
    );
}

#[test]
fn a_request_equals_the_one_computed_by_hand() {
    // Format and SHV; index bits 14:0 in address bits 19:5, bit 15 in address bit 2.
    let request = RemappableRequest::new(5, 0);
    assert_eq!((request.address, request.data), (0xfee0_00b8, 0));
    let request = RemappableRequest::new(0x8001, 3);
    assert_eq!((request.address, request.data), (0xfee0_003c, 3));
    assert_eq!(request.index(), Some(0x8004));
    let old_format = RemappableRequest {
        address: 0xfee0_100c,
        data: 0x41,
    };
    assert_eq!(old_format.index(), None);
}

#[test]
fn the_strictest_check_that_fits_is_chosen() {
    let of = |ids: &[SourceId]| SourceCheck::of(ids).unwrap();
    let own = id(0, 5, 0);
    assert_eq!(SourceCheck::of(&[]), None);
    assert_eq!(of(&[own]), SourceCheck::Source(own));
    // A function that uses the ID of another function of its device.
    let second = id(3, 0, 1);
    assert_eq!(of(&[second, id(3, 0, 0)]), SourceCheck::Device(second));
    // Behind a bridge that takes function 0 of the bus behind it, directly and one bus further.
    let near = SourceCheck::Buses { first: 2, last: 2 };
    assert_eq!(of(&[id(2, 1, 0), id(2, 0, 0)]), near);
    let far = SourceCheck::Buses { first: 2, last: 4 };
    assert_eq!(of(&[id(4, 1, 0), id(2, 0, 0)]), far);
    // Behind a conventional bridge on the root bus, which uses its own ID: not all of bus 0.
    let bridge = id(0, 0x1e, 0);
    assert_eq!(of(&[id(3, 2, 0), bridge]), SourceCheck::Source(bridge));
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        vector: u8, destination: u32, logical: bool, source: u16, first: u8, last: u8, kind in 0..3,
    ) {
        let check = match kind {
            0 => SourceCheck::Source(SourceId::from_raw(source)),
            1 => SourceCheck::Device(SourceId::from_raw(source)),
            _ => SourceCheck::Buses { first, last },
        };
        let mode = if destination > 0xff { ApicMode::X2Apic } else { ApicMode::XApic };
        let target = InterruptTarget { vector, destination, logical };
        let entry = InterruptEntry::new(target, check, mode).unwrap();
        prop_assert!(entry.is_present());
        prop_assert_eq!(entry.target(mode), target);
        prop_assert_eq!(entry.source_check(), Some(check));
    }

    #[test]
    fn a_request_names_its_entry(first in 0u16..0xff00, number in 0u16..32) {
        let request = RemappableRequest::new(first, number);
        prop_assert_eq!(request.index(), Some(u32::from(first) + u32::from(number)));
        // Nothing but an interrupt: the address is in the interrupt range.
        prop_assert_eq!(request.address >> 20, 0xfee);
        prop_assert_eq!(request.address & 3, 0);
    }

    #[test]
    fn a_check_accepts_the_topmost_requester(own: u16, top: u16) {
        let (own, top) = (SourceId::from_raw(own), SourceId::from_raw(top));
        let check = SourceCheck::of(&[own, top]).unwrap();
        prop_assert!(check.accepts(top));
        // No other bus than those that the requests may come from.
        for bus in 0..=u8::MAX {
            let other = SourceId::from_bus_devfn(bus, 0xff);
            let between = top.bus().min(own.bus()) <= bus && bus <= top.bus().max(own.bus());
            prop_assert!(between || !check.accepts(other));
        }
    }
}
