// SPDX-License-Identifier: GPL-2.0

//! Capabilities: QEMU 11.1's default unit and the limits of each field.

use vtd_core::spec::capability::{Capability, ExtendedCapability};
use vtd_core::spec::level::{AddressWidth, PageSize};
use vtd_core::spec::registers::{fault_record, iotlb, register_bytes};

const QEMU_CAP: Capability = Capability::from_raw(0x80d2_008c_222f_0606);
const QEMU_ECAP: ExtendedCapability = ExtendedCapability::from_raw(0x00f0_0f4a);

#[test]
fn qemu_cap_decodes_as_qemu_says() {
    assert_eq!(QEMU_CAP.domain_count(), Some(65536));
    assert!(QEMU_CAP.supports(AddressWidth::Bits39));
    assert!(QEMU_CAP.supports(AddressWidth::Bits48));
    assert!(!QEMU_CAP.supports(AddressWidth::Bits57));
    assert_eq!(QEMU_CAP.widest(), Some(AddressWidth::Bits48));
    assert_eq!(QEMU_CAP.input_bits(), 48);
    assert_eq!(QEMU_CAP.page_sizes(), 0x4020_1000);
    assert_eq!(QEMU_CAP.fault_record_offset(), 0x220);
    assert_eq!(QEMU_CAP.fault_record_count(), 1);
    assert_eq!(QEMU_CAP.max_address_mask(), 18);
    let features: Vec<_> = QEMU_CAP.features().collect();
    assert_eq!(
        features,
        [
            "page-selective invalidation",
            "write drain",
            "read drain",
            "invalidation by root table"
        ]
    );
}

#[test]
fn qemu_ecap_decodes_as_qemu_says() {
    assert!(!QEMU_ECAP.coherent_walk());
    assert!(QEMU_ECAP.queued_invalidation());
    assert!(QEMU_ECAP.interrupt_remapping());
    assert!(QEMU_ECAP.pass_through());
    assert!(!QEMU_ECAP.snoop_control());
    assert!(!QEMU_ECAP.device_tlb());
    assert!(!QEMU_ECAP.scalable_mode());
    assert_eq!(QEMU_ECAP.iotlb_offset(), 0xf0);
    assert_eq!(QEMU_ECAP.max_handle_mask(), 15);
}

#[test]
fn capabilities_read_as_sentences() {
    assert_eq!(
        QEMU_CAP.to_string(),
        "48-bit input, tables of 3, 4 levels, pages of 4K 2M 1G, 65536 domains, \
         1 fault record(s), page-selective invalidation, write drain, read drain, \
         invalidation by root table"
    );
    assert_eq!(
        QEMU_ECAP.to_string(),
        "non-coherent page walks, queued invalidation, interrupt remapping, pass-through"
    );
    let none = Capability::from_raw(7).to_string();
    assert!(none.contains("no levels") && none.contains("reserved domain count"));
}

/// Every flag is exactly the bit that the kernel's header defines.
#[test]
fn each_flag_is_one_bit() {
    type Flag = fn(Capability) -> bool;
    let flags: [(u32, Flag); 15] = [
        (3, Capability::advanced_fault_logging),
        (4, Capability::needs_write_buffer_flush),
        (5, Capability::protected_low_memory),
        (6, Capability::protected_high_memory),
        (7, Capability::caching_mode),
        (22, Capability::zero_length_read),
        (39, Capability::page_selective),
        (54, Capability::drains_writes),
        (55, Capability::drains_reads),
        (56, Capability::first_stage_1g),
        (59, Capability::posted_interrupts),
        (60, Capability::first_stage_5_levels),
        (61, Capability::enhanced_commands),
        (62, Capability::interrupt_table_invalidates),
        (63, Capability::root_table_invalidates),
    ];
    for (bit, flag) in flags {
        assert!(flag(Capability::from_raw(1 << bit)), "bit {bit}");
        assert!(!flag(Capability::from_raw(!(1 << bit))), "bit {bit}");
    }
    type Extended = fn(ExtendedCapability) -> bool;
    let flags: [(u32, Extended); 14] = [
        (0, ExtendedCapability::coherent_walk),
        (1, ExtendedCapability::queued_invalidation),
        (2, ExtendedCapability::device_tlb),
        (3, ExtendedCapability::interrupt_remapping),
        (4, ExtendedCapability::extended_interrupt_mode),
        (6, ExtendedCapability::pass_through),
        (7, ExtendedCapability::snoop_control),
        (26, ExtendedCapability::nested),
        (29, ExtendedCapability::page_request),
        (40, ExtendedCapability::pasid),
        (43, ExtendedCapability::scalable_mode),
        (45, ExtendedCapability::second_stage_dirty),
        (46, ExtendedCapability::second_stage),
        (47, ExtendedCapability::first_stage),
    ];
    for (bit, flag) in flags {
        assert!(flag(ExtendedCapability::from_raw(1 << bit)), "bit {bit}");
        assert!(
            !flag(ExtendedCapability::from_raw(!(1 << bit))),
            "bit {bit}"
        );
    }
}

#[test]
fn domain_count_follows_nd() {
    let counts: Vec<_> = (0..8)
        .map(|nd| Capability::from_raw(nd).domain_count())
        .collect();
    let expected = [16, 64, 256, 1024, 4096, 16384, 65536].map(Some);
    assert_eq!(counts[..7], expected);
    assert_eq!(counts[7], None);
}

#[test]
fn widest_table_is_the_highest_known_sagaw_bit() {
    let widest = |sagaw: u64| Capability::from_raw(sagaw << 8).widest();
    assert_eq!(widest(0b00000), None);
    assert_eq!(widest(0b00001), None);
    assert_eq!(widest(0b10000), None);
    assert_eq!(widest(0b00010), Some(AddressWidth::Bits39));
    assert_eq!(widest(0b00110), Some(AddressWidth::Bits48));
    assert_eq!(widest(0b01110), Some(AddressWidth::Bits57));
    assert_eq!(widest(0b01010), Some(AddressWidth::Bits57));
}

#[test]
fn page_sizes_follow_sslps() {
    let cap = Capability::from_raw(1 << 34);
    assert!(cap.has_page_size(PageSize::Size2M) && !cap.has_page_size(PageSize::Size1G));
    assert_eq!(Capability::from_raw(1 << 35).page_sizes(), 0x4000_1000);
    assert_eq!(Capability::from_raw(0).page_sizes(), 0x1000);
}

#[test]
fn register_space_reaches_the_last_register() {
    assert_eq!(register_bytes(QEMU_CAP, QEMU_ECAP), 4096);
    let cap = Capability::from_raw((0x3ff << 24) | (0xff << 40));
    assert_eq!(register_bytes(cap, QEMU_ECAP), 20480);
    let last = fault_record(cap, 255).unwrap();
    assert_eq!(last.low.offset(), (1023 + 255) * 16);
    assert_eq!(last.high.offset(), (1023 + 255) * 16 + 8);
    assert_eq!(fault_record(cap, 256), None);
    let ecap = ExtendedCapability::from_raw(0x3ff << 8);
    assert_eq!(iotlb(ecap).command.offset(), 1023 * 16 + 8);
    assert_eq!(register_bytes(Capability::from_raw(0), ecap), 16384);
    assert_eq!(
        register_bytes(Capability::from_raw(0), ExtendedCapability::from_raw(0)),
        4096
    );
}
