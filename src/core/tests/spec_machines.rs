// SPDX-License-Identifier: GPL-2.0

//! Units of real machines, by the values of their capability registers. Each covers a case that
//! QEMU's unit does not. The fields were decoded by hand with the macros of
//! drivers/iommu/intel/iommu.h.

use vtd_core::compatibility::{Incompatible, Restriction, TableFormat, WalkCapabilities};
use vtd_core::invalidation::{InvalidationRange, RangeInvalidator};
use vtd_core::spec::address::{DomainId, Iova};
use vtd_core::spec::capability::{Capability, ExtendedCapability};
use vtd_core::spec::level::{AddressWidth, PageSize};
use vtd_core::spec::registers::register_bytes;
use vtd_core::spec::registers::TranslationTableMode as Mode;
use vtd_core::spec::scope::IotlbScope;

const CPU_PAGE: u64 = 4096;

fn unit(cap: u64, ecap: u64) -> WalkCapabilities {
    WalkCapabilities {
        cap: Capability::from_raw(cap),
        ecap: ExtendedCapability::from_raw(ecap),
        mode: Mode::Legacy,
        restriction: Restriction::default(),
    }
}

/// Returns the format of the tables for `unit`, which can walk them, on a host with `host_bits`.
fn tables(unit: &WalkCapabilities, host_bits: u32) -> TableFormat {
    let tables = unit.format(host_bits).expect("it walks tables");
    assert_eq!(unit.check(&tables, CPU_PAGE), Ok(()));
    tables
}

fn last(tables: &TableFormat) -> u64 {
    tables.geometry.last_iova().raw()
}

/// Returns the scope that invalidates two pages.
fn two_pages(unit: &WalkCapabilities) -> IotlbScope {
    let range = InvalidationRange::new(Iova::new(0x1_0000), Iova::new(0x1_1fff), false).unwrap();
    RangeInvalidator::new(unit.cap).scope(DomainId::new(5), range)
}

/// Returns whether the unit invalidates single pages, rather than only whole domains.
fn by_page(unit: &WalkCapabilities) -> bool {
    match two_pages(unit) {
        IotlbScope::Pages { .. } => true,
        IotlbScope::Domain(domain) => {
            assert_eq!(domain, DomainId::new(5));
            false
        }
        other => panic!("{other:?}"),
    }
}

/// Arrandale and others of 2010: no queue, the write buffer must be flushed, pages of 4 KiB only,
/// and fewer input bits than the narrowest tables have.
#[test]
fn a_unit_of_36_bits_without_a_queue() {
    let unit = unit(0xc9_0080_20e3_0272, 0x1000);
    assert!(!unit.ecap.queued_invalidation() && !unit.ecap.coherent_walk());
    assert!(!unit.ecap.pass_through() && !unit.ecap.interrupt_remapping());
    assert!(unit.cap.needs_write_buffer_flush() && unit.cap.page_selective());
    assert!(unit.cap.protected_low_memory() && unit.cap.protected_high_memory());
    assert_eq!(unit.cap.input_bits(), 36);
    assert_eq!(unit.cap.domain_count(), Some(256));
    assert_eq!(unit.ecap.iotlb_offset(), 0x100);
    assert_eq!(unit.cap.fault_record_offset(), 0x200);
    assert_eq!(register_bytes(unit.cap, unit.ecap), 4096);
    let tables = tables(&unit, 36);
    assert_eq!(tables.geometry.width, AddressWidth::Bits39);
    assert_eq!(last(&tables), (1 << 36) - 1);
    assert_eq!(tables.geometry.page_sizes(), 0x1000);
    assert!(by_page(&unit));
}

/// The graphics unit of the same machine has 16 domain-ids and invalidates only whole domains.
#[test]
fn a_unit_of_16_domains_without_page_selective_invalidation() {
    let old = unit(0xc0_0000_2023_0270, 0x1000);
    assert_eq!(old.cap.domain_count(), Some(16));
    assert!(!old.cap.page_selective() && old.cap.needs_write_buffer_flush());
    assert!(!by_page(&old));
    // The unit of the next generation has a queue, but no page-selective invalidation either.
    let next = unit(0xc0_0000_20e6_0262, 0xf0_101a);
    assert!(next.ecap.queued_invalidation() && !next.cap.needs_write_buffer_flush());
    assert_eq!(next.cap.domain_count(), Some(256));
    assert_eq!(next.ecap.iotlb_offset(), 0x100);
    assert!(!by_page(&next));
    assert_eq!(last(&tables(&next, 36)), (1 << 39) - 1);
}

/// Graphics since Skylake: 4 levels for 39 bits, invalidation of whole domains only, no snoop
/// control.
#[test]
fn a_unit_whose_tables_are_wider_than_its_input() {
    let unit = unit(0x1c0_000c_4066_0462, 0x19e_2ff0_505e);
    assert!(!unit.cap.supports(AddressWidth::Bits39));
    assert!(!unit.ecap.snoop_control() && unit.ecap.device_tlb());
    assert_eq!(unit.cap.input_bits(), 39);
    assert_eq!(unit.ecap.iotlb_offset(), 0x500);
    let tables = tables(&unit, 39);
    assert_eq!(tables.geometry.width, AddressWidth::Bits48);
    assert_eq!(last(&tables), (1 << 39) - 1);
    assert_eq!(tables.geometry.page_sizes(), 0x4020_1000);
    assert!(!by_page(&unit));
}

/// The same machine has a second unit for all other devices, with all that the graphics unit lacks:
/// the unit, not the machine, decides what a domain may use.
#[test]
fn units_of_one_machine_differ() {
    let graphics = unit(0x1c0_000c_4066_0462, 0x19e_2ff0_505e);
    let rest = unit(0xd2_008c_4066_0462, 0xf0_50da);
    assert!(!by_page(&graphics) && by_page(&rest));
    assert!(!graphics.ecap.snoop_control() && rest.ecap.snoop_control());
    assert!(graphics.ecap.device_tlb() && !rest.ecap.device_tlb());
    assert_eq!(tables(&graphics, 39), {
        let mut same = tables(&rest, 39);
        same.geometry.snoop_control = false;
        same
    });
    let mut snooping = tables(&rest, 39);
    snooping.snoops = true;
    assert_eq!(rest.check(&snooping, CPU_PAGE), Ok(()));
    assert_eq!(
        graphics.check(&snooping, CPU_PAGE),
        Err(Incompatible::Snoop)
    );
    // Each can walk the tables that serve the other one's plain domains.
    for (maker, user) in [(&graphics, &rest), (&rest, &graphics)] {
        assert_eq!(user.check(&tables(maker, 39), CPU_PAGE), Ok(()));
    }
}

/// A server of 2023: 57 input bits, but tables of 48 bits.
#[test]
fn a_unit_whose_input_is_wider_than_its_tables() {
    let unit = unit(0x8ed_008c_4078_0466, 0x600_00f0_50df);
    assert_eq!(unit.cap.input_bits(), 57);
    assert!(unit.ecap.coherent_walk());
    let tables = tables(&unit, 46);
    assert!(tables.coherent);
    assert_eq!(tables.geometry.width, AddressWidth::Bits48);
    assert_eq!(last(&tables), (1 << 48) - 1);
}

/// Other units of that server, and a server of 2024, have 4 and 5 levels. The host has up to 52
/// physical address bits, the most that an entry has room for.
#[test]
fn a_unit_of_five_levels() {
    for (cap, ecap) in [
        (0x19ed_008c_4078_0c66, 0x600_00f0_50df),
        (0xf9ed_008c_ee78_0c66, 0x3f_ef9e_a6f0_efdf),
    ] {
        let unit = unit(cap, ecap);
        let tables = tables(&unit, 52);
        assert_eq!(tables.geometry.width, AddressWidth::Bits57);
        assert_eq!(last(&tables), (1 << 57) - 1);
        assert_eq!(tables.geometry.last_phys().raw(), (1 << 52) - 1);
        assert!(unit.cap.supports(AddressWidth::Bits48) && tables.coherent);
        // A unit with four levels cannot walk them.
        let four = self::unit(0x8ed_008c_4078_0466, 0x600_00f0_50df);
        let refused = four.check(&tables, CPU_PAGE);
        assert_eq!(refused, Err(Incompatible::Width(AddressWidth::Bits57)));
    }
}

/// Laptops of 2023: 42 input bits, 4 levels.
#[test]
fn a_unit_of_42_bits() {
    let unit = unit(0xc9de_008c_ee69_0462, 0x12_ca9a_00f0_ef5e);
    assert_eq!(unit.cap.input_bits(), 42);
    let tables = tables(&unit, 42);
    assert_eq!(tables.geometry.width, AddressWidth::Bits48);
    assert_eq!(last(&tables), (1 << 42) - 1);
    assert!(by_page(&unit) && unit.cap.root_table_invalidates());
    assert!(!tables.coherent);
    assert!(unit.cap.has_page_size(PageSize::Size1G));
}

/// Another driver in Rust assumes three levels everywhere. This one uses the widest table that the
/// unit supports, which may be three levels.
#[test]
fn a_unit_of_three_levels_only() {
    let three = unit(0xc9_0080_2066_0262, 0xf0_105a);
    let tables = tables(&three, 36);
    assert_eq!(tables.geometry.width, AddressWidth::Bits39);
    let refused = three.check(
        &self::tables(&unit(0xd2_008c_4066_0462, 0xf0_50da), 36),
        CPU_PAGE,
    );
    assert_eq!(refused, Err(Incompatible::Width(AddressWidth::Bits48)));
}

/// A unit whose write buffer must be flushed reports it. A quirk covers the chipsets that do not
/// report it.
#[test]
fn a_write_buffer_is_flushed_where_the_unit_says_so() {
    assert!(!unit(0xd2_0080_2066_0462, 0xf0_10da)
        .cap
        .needs_write_buffer_flush());
    assert!(unit(0xc9_0080_2063_0272, 0x1000)
        .cap
        .needs_write_buffer_flush());
}
