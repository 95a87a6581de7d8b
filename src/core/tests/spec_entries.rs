// SPDX-License-Identifier: GPL-2.0

//! Addresses, levels, and the root, context and second-stage entries.

use proptest::prelude::*;
use vtd_core::spec::address::{DomainId, Iova, PhysAddr, Segment, SourceId};
use vtd_core::spec::context::{ContextEntry, TranslationType};
use vtd_core::spec::context_lookup::{ContextLookup, LookupEntries};
use vtd_core::spec::fault::FaultReason;
use vtd_core::spec::level::{AddressWidth, Level, PageSize, Stage};
use vtd_core::spec::pte::{Access, DecodedEntry, Entry};
use vtd_core::spec::registers::TranslationTableMode;
use vtd_core::spec::root::RootEntry;

const LEVELS: [Level; 5] = [Level::L1, Level::L2, Level::L3, Level::L4, Level::L5];

const LEGACY: TranslationTableMode = TranslationTableMode::Legacy;

#[test]
fn source_id_is_bus_device_function() {
    let id = SourceId::new(0x3a, 0x1f, 7).unwrap();
    assert_eq!(id.raw(), 0x3aff);
    assert_eq!((id.bus(), id.device(), id.function()), (0x3a, 0x1f, 7));
    assert_eq!(SourceId::new(0, 5, 0).unwrap().to_string(), "00:05.0");
    assert_eq!(id.to_string(), "3a:1f.7");
    assert_eq!(SourceId::from_bus_devfn(0x12, 0x34).raw(), 0x1234);
    assert_eq!(SourceId::new(0, 32, 0), None);
    assert_eq!(SourceId::new(0, 0, 8), None);
    assert_eq!(Segment::new(0x10).to_string(), "0010");
}

#[test]
fn addresses_do_not_wrap() {
    assert_eq!(Iova::new(u64::MAX).checked_add(1), None);
    assert_eq!(Iova::new(0x1fff).page(), Iova::new(0x1000));
    assert_eq!(PhysAddr::new(1).checked_offset_from(PhysAddr::new(2)), None);
    assert!(PhysAddr::new(0x20_0000).is_aligned(21));
    assert!(!PhysAddr::new(0x20_1000).is_aligned(21));
    assert!(PhysAddr::new(0).is_aligned(64) && !PhysAddr::new(1).is_aligned(64));
}

#[test]
fn levels_span_what_the_specification_says() {
    let shifts: Vec<_> = LEVELS.iter().map(|level| level.page_shift()).collect();
    assert_eq!(shifts, [12, 21, 30, 39, 48]);
    for (number, level) in (1..).zip(LEVELS) {
        assert_eq!(Level::new(number), Some(level));
        assert_eq!(level.number(), number);
        assert_eq!(level.table_span(), level.entry_span() * 512);
        if let Some(above) = level.above() {
            assert_eq!(above.below(), Some(level));
            assert_eq!(level.table_span(), above.entry_span());
        }
    }
    assert_eq!(Level::new(0), None);
    assert_eq!(Level::new(6), None);
    let iova = Iova::new(0x0123_4567_89ab_c000);
    let indices: Vec<_> = LEVELS.iter().map(|level| level.index(iova)).collect();
    // 0x0123456789abc000 >> 12 = 0x123456789abc: in groups of nine bits, from below.
    assert_eq!(indices, [0xbc, 0x4d, 0x19e, 0x8a, 0x123]);
}

#[test]
fn widths_match_their_levels() {
    let table: Vec<_> = AddressWidth::WIDEST_FIRST
        .iter()
        .map(|width| (width.bits(), width.levels(), width.code()))
        .collect();
    assert_eq!(table, [(57, 5, 3), (48, 4, 2), (39, 3, 1)]);
    for width in AddressWidth::WIDEST_FIRST {
        assert_eq!(AddressWidth::from_code(width.code()), Some(width));
        assert_eq!(width.last().raw(), width.top().table_span() - 1);
    }
    assert_eq!(AddressWidth::from_code(0), None);
    assert_eq!(AddressWidth::from_code(4), None);
}

#[test]
fn root_entry_encodes_as_computed_by_hand() {
    let entry = RootEntry::new(PhysAddr::new(0x1234_5000)).unwrap();
    assert_eq!(entry.words(), [0x1234_5001, 0]);
    assert_eq!(
        entry.context_table(LEGACY, 0xff),
        Some(PhysAddr::new(0x1234_5000))
    );
    assert_eq!(RootEntry::new(PhysAddr::new(0x1234_5008)), None);
    assert_eq!(RootEntry::ABSENT.context_table(LEGACY, 0), None);
    assert_eq!(entry.reserved_bits(LEGACY, 0, 39), [0, 0]);
    let bad = RootEntry::from_words((1 << 39) | 0x2 | 1, 5);
    assert_eq!(bad.reserved_bits(LEGACY, 0, 39), [(1 << 39) | 0x2, 5]);
}

#[test]
fn context_entry_encodes_as_computed_by_hand() {
    let table = PhysAddr::new(0x1234_5000);
    let width = AddressWidth::Bits48;
    let entry = ContextEntry::translating(table, width, DomainId::new(5), false).unwrap();
    assert_eq!(entry.words(), [0x1234_5001, 0x502]);
    let ats = ContextEntry::translating(table, width, DomainId::new(5), true).unwrap();
    assert_eq!(ats.words(), [0x1234_5005, 0x502]);
    assert_eq!(
        ats.with_fault_processing_disabled().words(),
        [0x1234_5007, 0x502]
    );
    let wide = AddressWidth::Bits57;
    let pass = ContextEntry::pass_through(wide, DomainId::new(0xffff));
    assert_eq!(pass.words(), [0x9, 0xff_ff03]);
    assert_eq!(
        ContextEntry::translating(PhysAddr::new(0x10), width, DomainId::new(1), false),
        None
    );
}

#[test]
fn context_entry_decodes_what_it_encodes() {
    let entry = ContextEntry::from_words(0xabc_d009, 0x1_2302);
    assert!(entry.is_present() && !entry.fault_processing_disabled());
    assert_eq!(entry.translation_type(), TranslationType::PassThrough);
    assert_eq!(entry.table(), PhysAddr::new(0xabc_d000));
    assert_eq!(entry.width(), Some(AddressWidth::Bits48));
    assert_eq!(entry.domain(), DomainId::new(0x123));
    assert_eq!(entry.reserved_bits(39), [0, 0]);
    assert!(!ContextEntry::ABSENT.is_present());
    let bad = ContextEntry::from_words(0x8000_0000_0000_0011, 0x0100_0080);
    assert_eq!(bad.reserved_bits(46), [0x8000_0000_0000_0010, 0x0100_0080]);
    // AVAIL (bits 70:67) is available to software.
    assert_eq!(ContextEntry::from_words(1, 0x78).reserved_bits(46), [0, 0]);
    assert_eq!(
        ContextEntry::from_words(0xd, 0).translation_type(),
        TranslationType::Reserved
    );
}

#[test]
fn second_stage_entries_encode_as_computed_by_hand() {
    let leaf = |raw, size, access, snoop| {
        Entry::leaf(PhysAddr::new(raw), size, access, snoop).map(Entry::raw)
    };
    let (small, large, huge) = (PageSize::Size4K, PageSize::Size2M, PageSize::Size1G);
    assert_eq!(leaf(0x1000, small, Access::ReadWrite, false), Some(0x1003));
    assert_eq!(leaf(0x20_0000, large, Access::Read, false), Some(0x20_0081));
    assert_eq!(
        leaf(0x4000_0000, huge, Access::Write, true),
        Some(0x4000_0882)
    );
    assert_eq!(leaf(0x20_1000, large, Access::Read, false), None);
    assert_eq!(leaf(0x1800, small, Access::Read, false), None);
    assert_eq!(leaf(1 << 52, small, Access::Read, false), None);
    assert_eq!(
        Entry::table(PhysAddr::new(0x5000)).map(Entry::raw),
        Some(0x5003)
    );
    assert_eq!(Entry::table(PhysAddr::new(0x5001)), None);
    assert_eq!(Access::new(false, false), None);
}

#[test]
fn the_level_decides_what_an_entry_means() {
    let raw = Entry::from_raw(0x20_0883);
    let expected = |size, address| DecodedEntry::Leaf {
        address: PhysAddr::new(address),
        size,
        access: Access::ReadWrite,
        snoop: true,
    };
    assert_eq!(raw.decode(Level::L1), expected(PageSize::Size4K, 0x20_0000));
    assert_eq!(raw.decode(Level::L2), expected(PageSize::Size2M, 0x20_0000));
    assert_eq!(raw.decode(Level::L3), expected(PageSize::Size1G, 0));
    assert!(matches!(raw.decode(Level::L4), DecodedEntry::Table { .. }));
    assert_eq!(
        Entry::from_raw(0xffff_ffff_ffff_fffc).decode(Level::L1),
        DecodedEntry::Absent
    );
    assert!(Entry::from_raw(0x300).is_accessed() && Entry::from_raw(0x300).is_dirty());
}

/// QEMU's `vtd_spte_rsvd` tables for 39-bit hosts, without and with snoop control.
#[test]
fn reserved_bits_are_those_that_qemu_faults_on() {
    let above = !((1u64 << 39) - 1) & !0xbff0_0000_0000_0000;
    let cases = [
        (Level::L1, 0x3, 0x800 | above),
        (Level::L2, 0x3, 0x800 | above),
        (Level::L3, 0x3, 0x800 | above),
        (Level::L4, 0x3, 0x880 | above),
        (Level::L2, 0x83, 0x1f_f800 | above),
        (Level::L3, 0x83, 0x3fff_f800 | above),
    ];
    for (level, kind, reserved) in cases {
        for bit in (0..64).filter(|bit| !matches!(bit, 0 | 1 | 7)) {
            let entry = Entry::from_raw(kind | (1 << bit));
            let expected = (1 << bit) & reserved;
            assert_eq!(
                entry.reserved_bits(level, 39, false),
                expected,
                "{level:?} bit {bit}"
            );
        }
    }
    assert_eq!(
        Entry::from_raw(0x83).reserved_bits(Level::L4, 39, false),
        0x80
    );
    assert_eq!(Entry::from_raw(0x803).reserved_bits(Level::L1, 39, true), 0);
    assert_eq!(
        Entry::from_raw(0x803).reserved_bits(Level::L2, 39, true),
        0x800
    );
    assert_eq!(Entry::from_raw(!3).reserved_bits(Level::L1, 39, false), 0);
}

proptest! {
    #[test]
    fn a_leaf_decodes_to_what_was_encoded(
        page in 0u64..1 << 22,
        size in prop::sample::select(vec![PageSize::Size4K, PageSize::Size2M, PageSize::Size1G]),
        access in prop::sample::select(vec![Access::Read, Access::Write, Access::ReadWrite]),
        snoop: bool,
    ) {
        let address = PhysAddr::new(page << size.shift());
        let entry = Entry::leaf(address, size, access, snoop).unwrap();
        let expected = DecodedEntry::Leaf { address, size, access, snoop };
        prop_assert_eq!(entry.decode(size.level()), expected);
        prop_assert_eq!(entry.reserved_bits(size.level(), 52, true), 0);
    }
}

#[test]
fn entries_are_checked_in_the_order_of_the_walk() {
    let root = RootEntry::new(PhysAddr::new(0x1000)).unwrap();
    let width = AddressWidth::Bits48;
    let context =
        ContextEntry::translating(PhysAddr::new(0x5000), width, DomainId::new(3), false).unwrap();
    let [low, high] = context.words();
    let changed = |low_bits, high_bits| ContextEntry::from_words(low ^ low_bits, high ^ high_bits);
    let tables = ContextLookup::Tables {
        top: PhysAddr::new(0x5000),
        width,
        stage: Stage::Second,
    };
    let through = ContextEntry::pass_through(width, DomainId::new(1));
    let refused = |code| ContextLookup::Faulted(FaultReason::new(code));
    for (root, context, expected) in [
        (root, context, tables),
        // With a device-TLB, and with faults not recorded.
        (root, changed(0b100, 0), tables),
        (root, context.with_fault_processing_disabled(), tables),
        (root, through, ContextLookup::PassThrough),
        (RootEntry::ABSENT, context, refused(0x1)),
        (RootEntry::from_words(0x1801, 0), context, refused(0xa)),
        (RootEntry::from_words(0x1001, 1), context, refused(0xa)),
        (root, ContextEntry::ABSENT, refused(0x2)),
        (root, changed(1, 0), refused(0x2)),
        (root, changed(0x10, 0), refused(0xb)),
        (root, changed(1 << 46, 0), refused(0xb)),
        (root, changed(0, 1 << 40), refused(0xb)),
        // A reserved type, a reserved width.
        (root, changed(0b1100, 0), refused(0x3)),
        (root, changed(0, 4), refused(0x3)),
    ] {
        assert_eq!(
            ContextLookup::of(root, &LookupEntries::Legacy(context), 0x28, 46),
            expected,
            "{context:?}"
        );
    }
}
