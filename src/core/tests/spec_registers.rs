// SPDX-License-Identifier: GPL-2.0

//! The offsets of registers, and the values of command and status registers.

use vtd_core::spec::address::PhysAddr;
use vtd_core::spec::queue::DescriptorWidth;
use vtd_core::spec::registers as reg;
use vtd_core::spec::status::{Fsts, Gcmd, Gsts};

#[test]
fn offsets_are_those_of_the_kernel_and_of_qemu() {
    let words = [
        (reg::VER, 0x00),
        (reg::GCMD, 0x18),
        (reg::GSTS, 0x1c),
        (reg::FSTS, 0x34),
        (reg::FECTL, 0x38),
        (reg::FEDATA, 0x3c),
        (reg::FEADDR, 0x40),
        (reg::FEUADDR, 0x44),
        (reg::PMEN, 0x64),
        (reg::PLMBASE, 0x68),
        (reg::PLMLIMIT, 0x6c),
        (reg::ICS, 0x9c),
        (reg::IECTL, 0xa0),
        (reg::IEDATA, 0xa4),
        (reg::IEADDR, 0xa8),
        (reg::IEUADDR, 0xac),
    ];
    for (register, offset) in words {
        assert_eq!(register.offset(), offset);
    }
    let quads = [
        (reg::CAP, 0x08),
        (reg::ECAP, 0x10),
        (reg::RTADDR, 0x20),
        (reg::CCMD, 0x28),
        (reg::PHMBASE, 0x70),
        (reg::PHMLIMIT, 0x78),
        (reg::IQH, 0x80),
        (reg::IQT, 0x88),
        (reg::IQA, 0x90),
        (reg::IQERCD, 0xb0),
        (reg::IRTA, 0xb8),
    ];
    for (register, offset) in quads {
        assert_eq!(register.offset(), offset);
    }
}

#[test]
fn a_command_keeps_states_and_repeats_no_command() {
    let everything = Gsts::from_raw(u32::MAX);
    // The mask is the specification's own (11.4.4).
    assert_eq!(Gcmd::from_status(everything).raw(), 0x96ff_ffff);
    let on = Gsts::from_raw((1 << 31) | (1 << 30) | (1 << 26));
    assert_eq!(
        Gcmd::from_status(on).with(Gcmd::FLUSH_WRITE_BUFFER).raw(),
        0x8c00_0000
    );
    assert_eq!(
        Gcmd::from_status(on).without(Gcmd::TRANSLATION).raw(),
        0x0400_0000
    );
    assert_eq!(
        Gcmd::from_status(Gsts::from_raw(0))
            .with(Gcmd::SET_ROOT_TABLE)
            .raw(),
        0x4000_0000
    );
    assert_eq!(Gcmd::INTERRUPT_REMAPPING.raw(), 0x0200_0000);
}

#[test]
fn status_shows_what_uses_the_unit() {
    assert_eq!(Gsts::from_raw(0x4800_0000).in_use().count(), 0);
    assert!(Gsts::from_raw(1 << 31).translation_enabled());
    assert!(Gsts::from_raw(1 << 30).root_table_set());
    assert!(Gsts::from_raw(1 << 27).write_buffer_flush_pending());
    assert!(Gsts::from_raw(1 << 26).queue_enabled());
    assert!(Gsts::from_raw(1 << 25).interrupt_remapping_enabled());
    let all: Vec<_> = Gsts::from_raw(0x8600_0000).in_use().collect();
    assert_eq!(
        all,
        [
            "DMA translation is on",
            "its invalidation queue is on",
            "interrupt remapping is on"
        ]
    );
    assert_eq!(
        Gsts::from_raw(0xc000_0000).to_string(),
        "0xc0000000: translation on, queue off, interrupt remapping off, root table set"
    );
}

#[test]
fn fault_status_decodes_as_computed_by_hand() {
    let fsts = Fsts::from_raw(0x0000_2a53);
    assert!(fsts.has_fault_record() && fsts.has_queue_fault());
    assert_eq!(fsts.first_fault_record(), 0x2a);
    assert!(fsts.contains(Fsts::OVERFLOW));
    assert!(fsts.contains(Fsts::QUEUE_ERROR) && fsts.contains(Fsts::TIME_OUT));
    assert!(!fsts.contains(Fsts::COMPLETION_ERROR));
    assert_eq!(fsts.errors().count(), 3);
    assert!(!Fsts::from_raw(0x3).has_queue_fault());
    assert!(Fsts::COMPLETION_ERROR.has_queue_fault());
}

#[test]
fn addresses_in_registers_are_aligned() {
    let page = PhysAddr::new(0x1234_5000);
    assert_eq!(
        reg::root_table_address(page, reg::TranslationTableMode::Legacy),
        Some(0x1234_5000)
    );
    assert_eq!(
        reg::root_table_address(page, reg::TranslationTableMode::Scalable),
        Some(0x1234_5400)
    );
    for mode in [
        reg::TranslationTableMode::Legacy,
        reg::TranslationTableMode::Scalable,
    ] {
        assert_eq!(reg::root_table_address(PhysAddr::new(0x400), mode), None);
    }
}

#[test]
fn a_queue_says_where_it_is_and_how_wide_its_descriptors_are() {
    let page = PhysAddr::new(0x1234_5000);
    for (width, order, iqa) in [
        (DescriptorWidth::Bits128, 0, 0x1234_5000),
        (DescriptorWidth::Bits128, 7, 0x1234_5007),
        (DescriptorWidth::Bits256, 0, 0x1234_5800),
        (DescriptorWidth::Bits256, 7, 0x1234_5807),
    ] {
        assert_eq!(width.address(page, order), Some(iqa));
        assert_eq!(DescriptorWidth::of(iqa), width);
        assert_eq!(width.address(page, 8), None);
        assert_eq!(width.address(PhysAddr::new(8), 0), None);
    }
}

#[test]
fn queue_positions_are_counted_in_descriptors() {
    // Descriptor, and where its slot begins in a ring of one page.
    let narrow = [(0, 0), (1, 0x10), (255, 0xff0), (256, 0)];
    let wide = [(0, 0), (1, 0x20), (127, 0xfe0), (128, 0)];
    for (width, slots, expected) in [
        (DescriptorWidth::Bits128, 256, narrow),
        (DescriptorWidth::Bits256, 128, wide),
    ] {
        assert_eq!(width.slots(4096), slots);
        for (number, offset) in expected {
            assert_eq!(width.offset(number, 4096), offset);
            assert_eq!(width.slot(u64::from(offset)), number % slots);
        }
        // The count of descriptors wraps.
        let last = width.offset(slots - 1, 4096);
        assert_eq!(width.offset(u32::MAX, 4096), last);
    }
    // The registers have bits 18:4 for an index, or 18:5; hardware may set others.
    assert_eq!(DescriptorWidth::Bits128.slot(0x7fff0), 0x7fff);
    assert_eq!(DescriptorWidth::Bits256.slot(0x7ffe0), 0x3fff);
    assert_eq!(DescriptorWidth::Bits128.slot(0xffff_ffff_fff8_000f), 0);
    assert_eq!(DescriptorWidth::Bits256.slot(0xffff_ffff_fff8_001f), 0);
}

#[test]
fn the_version_is_two_digits() {
    assert_eq!(reg::version(0x10), (1, 0));
    assert_eq!(reg::version(0xffff_ff62), (6, 2));
}
