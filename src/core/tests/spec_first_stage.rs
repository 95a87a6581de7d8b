// SPDX-License-Identifier: GPL-2.0

//! Entries of first-stage tables.

use vtd_core::spec::address::PhysAddr;
use vtd_core::spec::first_stage::FirstStageEntry;
use vtd_core::spec::level::{Level, PageSize};
use vtd_core::spec::pte::{Access, DecodedEntry};

#[test]
fn first_stage_entries_encode_as_computed_by_hand() {
    let leaf = |address, size, access| {
        FirstStageEntry::leaf(PhysAddr::new(address), size, access).map(FirstStageEntry::raw)
    };
    let (small, large, huge) = (PageSize::Size4K, PageSize::Size2M, PageSize::Size1G);
    // P, US, A; with writes also RW and D; PS above level 1.
    assert_eq!(leaf(0x5000, small, Access::Read), Some(0x5025));
    assert_eq!(leaf(0x5000, small, Access::ReadWrite), Some(0x5067));
    assert_eq!(leaf(0x5000, small, Access::Write), Some(0x5067));
    assert_eq!(leaf(0x20_0000, large, Access::Read), Some(0x20_00a5));
    assert_eq!(
        leaf(0x4000_0000, huge, Access::ReadWrite),
        Some(0x4000_00e7)
    );
    assert_eq!(leaf(0x5008, small, Access::Read), None);
    assert_eq!(leaf(0x5000, large, Access::Read), None);
    assert_eq!(leaf(1 << 52, small, Access::Read), None);
    let table = |address| FirstStageEntry::table(PhysAddr::new(address)).map(FirstStageEntry::raw);
    assert_eq!(table(0x5000), Some(0x5027));
    assert_eq!(table(0x5008), None);
    assert_eq!(table(1 << 52), None);
}

#[test]
fn first_stage_entries_have_the_meaning_of_the_specification() {
    let decode = |raw, level| FirstStageEntry::from_raw(raw).decode(level);
    // Without P nothing else counts.
    assert_eq!(decode(0, Level::L1), DecodedEntry::Absent);
    assert_eq!(decode(0x5066, Level::L1), DecodedEntry::Absent);
    // In level 1, bit 7 is a part of the memory type.
    for raw in [0x5025, 0x50a5] {
        let page = DecodedEntry::Leaf {
            address: PhysAddr::new(0x5000),
            size: PageSize::Size4K,
            access: Access::Read,
            snoop: false,
        };
        assert_eq!(decode(raw, Level::L1), page);
    }
    // Bit 12 of a large page is a part of its memory type, not of its address.
    let page = DecodedEntry::Leaf {
        address: PhysAddr::new(0x20_0000),
        size: PageSize::Size2M,
        access: Access::ReadWrite,
        snoop: false,
    };
    assert_eq!(decode(0x20_10e7, Level::L2), page);
    for (raw, level) in [
        (0x5027, Level::L2),
        (0x5027, Level::L3),
        (0x50a7, Level::L4),
    ] {
        let table = DecodedEntry::Table {
            address: PhysAddr::new(0x5000),
            access: Access::ReadWrite,
        };
        assert_eq!(decode(raw, level), table);
    }
}

#[test]
fn first_stage_flags_are_one_bit_each() {
    let flags = |raw| {
        let entry = FirstStageEntry::from_raw(raw);
        [
            entry.is_present(),
            entry.permits_user(),
            entry.is_accessed(),
            entry.is_dirty(),
            entry.refuses_execution(),
        ]
    };
    for (bit, place) in [(0, 0), (2, 1), (5, 2), (6, 3), (63, 4)] {
        let mut only = [false; 5];
        only[place] = true;
        assert_eq!(flags(1 << bit), only, "bit {bit}");
    }
}

#[test]
fn reserved_bits_of_a_first_stage_are_found() {
    let reserved = |raw, level| FirstStageEntry::from_raw(raw).reserved_bits(level, 46);
    for (raw, level, bits) in [
        // Nothing is reserved in an entry that is not present, and not the ignored bits 62:52.
        (0xffff_ffff_ffff_fffe, Level::L1, 0),
        (0x7ff0_3fff_ffff_f067, Level::L1, 0),
        // The memory type of a page of 4 KiB, and of a large page.
        (0x90fd, Level::L1, 0),
        (0x20_10e7, Level::L2, 0),
        (0x20_70e7, Level::L2, 0x6000),
        (0x4020_00a5, Level::L3, 0x20_0000),
        // A large page in a table that has none, too many address bits, XD.
        (0x50a7, Level::L4, 0x80),
        (0x50a7, Level::L5, 0x80),
        (0x4000_0000_5027, Level::L4, 0x4000_0000_0000),
        (0x8000_0000_0000_9025, Level::L1, 1 << 63),
    ] {
        assert_eq!(reserved(raw, level), bits, "{raw:#x} at {level:?}");
    }
}
