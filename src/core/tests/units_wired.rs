// SPDX-License-Identifier: GPL-2.0

//! No unit is isolated that an IO-APIC or HPET in use may be behind.

use crate::dmar_build::{drhd, scope, Table};
use vtd_core::dmar::Dmar;
use vtd_core::interrupt_policy::CompatibilityUser::{self, Hpet, IoApic};
use vtd_core::spec::address::PhysAddr;
use vtd_core::wired_interrupts::{io_apic_ids, WiredSources};

const FAR: u64 = 0xfed9_1000;
const NEAR: u64 = 0xfed9_0000;
const SCOPE_IO_APIC: u8 = 3;
const SCOPE_HPET: u8 = 4;

/// Returns what prevents the isolation of the unit with few devices, and of the other one, which
/// has `listed` in its scopes.
fn users(
    listed: &[Vec<u8>],
    io_apics: bool,
    used: &[CompatibilityUser],
) -> [Option<CompatibilityUser>; 2] {
    let table = Table::new(48, 1)
        .with(&drhd(false, 0, FAR, &[scope(2, 0, 0x20, &[(0, 0)])]))
        .with(&drhd(true, 0, NEAR, listed))
        .seal();
    let dmar = Dmar::parse(&table).unwrap();
    let wired = WiredSources { io_apics, used };
    [FAR, NEAR].map(|base| wired.user_behind(&dmar, PhysAddr::new(base)))
}

fn io_apic(id: u8) -> Vec<u8> {
    scope(SCOPE_IO_APIC, id, 0xf0, &[(31, 7)])
}

fn hpet(id: u8) -> Vec<u8> {
    scope(SCOPE_HPET, id, 0xf0, &[(15, 0)])
}

#[test]
fn an_io_apic_counts_for_the_unit_that_lists_it() {
    let used = [IoApic(2)];
    assert_eq!(users(&[io_apic(2)], true, &used), [None, Some(IoApic(2))]);
    // Also if the kernel knows it by another number, as with faulty firmware, or by none.
    assert_eq!(users(&[io_apic(2)], true, &[]), [None, Some(IoApic(2))]);
}

#[test]
fn an_io_apic_that_no_unit_lists_counts_for_all() {
    assert_eq!(users(&[], true, &[IoApic(2)]), [Some(IoApic(2)); 2]);
    let used = [IoApic(2), IoApic(3)];
    assert_eq!(
        users(&[io_apic(2)], true, &used),
        [Some(IoApic(3)), Some(IoApic(2))]
    );
}

#[test]
fn with_noapic_none_counts() {
    assert_eq!(users(&[io_apic(2)], false, &[]), [None; 2]);
}

#[test]
fn an_hpet_counts_only_with_an_interrupt() {
    let used = [Hpet(0)];
    assert_eq!(users(&[hpet(0)], false, &[]), [None; 2]);
    assert_eq!(users(&[hpet(0)], false, &used), [None, Some(Hpet(0))]);
    assert_eq!(users(&[], false, &used), [Some(Hpet(0)); 2]);
}

/// Returns a MADT with `structures`.
fn madt(structures: &[&[u8]]) -> Vec<u8> {
    [&[0; 44], structures.concat().as_slice()].concat()
}

#[test]
fn io_apics_are_found_among_other_structures() {
    let apic = [0, 8, 0, 0, 1, 0, 0, 0];
    let first = [1, 12, 2, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0];
    let second = [1, 12, 9, 0, 0, 0, 0xc1, 0xfe, 24, 0, 0, 0];
    let found: Vec<_> = io_apic_ids(&madt(&[&apic, &first, &apic, &second])).collect();
    assert_eq!(found, [2, 9]);
}

#[test]
fn no_bytes_of_a_madt_are_read_twice_or_beyond_the_end() {
    let whole = madt(&[&[1, 12, 2, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]]);
    for end in 0..whole.len() {
        let found = io_apic_ids(whole.get(..end).unwrap_or_default()).count();
        assert_eq!(found, 0, "{end}");
    }
    // Lengths that would not advance, or lead beyond the end.
    for length in [0, 1, 255] {
        let _ = io_apic_ids(&madt(&[&[1, length, 2, 0], &[0; 64]])).count();
    }
}
