// SPDX-License-Identifier: GPL-2.0

//! Tests of the texts for users: each sentence names the problem with its value, and different
//! problems have different texts.

use std::collections::BTreeSet;
use vtd_core::compatibility::Incompatible;
use vtd_core::describe::register::NAMED_REGISTERS;
use vtd_core::dmar::ScopeKind;
use vtd_core::pgtable::{MapError, MapFailed, UnmapStop};
use vtd_core::spec::address::{DomainId, Iova, Pasid, PhysAddr, SourceId};
use vtd_core::spec::capability::{Capability, ExtendedCapability};
use vtd_core::spec::descriptor::{BadDescriptor, Descriptor};
use vtd_core::spec::invalidation::{
    DeviceTlbScope, InterruptScope, Invalidation, PasidIotlbScope, PasidScope,
};
use vtd_core::spec::level::{AddressWidth, PageSize};
use vtd_core::spec::scope::{ContextScope, Drain, FunctionMask, IotlbScope, PageBlock};
use vtd_core::spec::status::{Fsts, Gsts};

fn all_different(said: &[String]) {
    let different: BTreeSet<&String> = said.iter().collect();
    assert_eq!(different.len(), said.len(), "{said:?}");
    assert!(said.iter().all(|text| text.len() > 2), "{said:?}");
}

#[test]
fn a_refused_map_names_the_range_and_what_to_do() {
    let (iova, paddr, last) = (Iova::new(0x1_2340), PhysAddr::new(0x5678), 0xffff);
    let errors = [
        MapError::Unaligned {
            iova,
            paddr,
            len: 0x9a,
        },
        MapError::Empty,
        MapError::OutsideAperture {
            iova,
            len: 0x9a,
            last: Iova::new(last),
        },
        MapError::OutsideMemory {
            paddr,
            len: 0x9a,
            last: PhysAddr::new(last),
        },
        MapError::NoSnoopControl,
        MapError::AddressInUse { iova },
        MapError::OutOfMemory,
    ];
    let said = errors.map(|error| MapFailed { error, undone: 0 }.to_string());
    all_different(&said);
    for (index, parts) in [
        (0, &["0x9a", "0x12340", "0x5678", "0x1000"][..]),
        (2, &["0x9a", "0x12340", "0xffff"]),
        (3, &["0x9a", "0x5678", "0xffff"]),
        (5, &["0x12340", "unmap it first"]),
    ] {
        for part in parts {
            assert!(said[index].contains(part), "{}: {part}", said[index]);
        }
    }
}

#[test]
fn an_unmap_that_stops_reports_why() {
    all_different(&[
        UnmapStop::Hole.to_string(),
        UnmapStop::InsideLeaf.to_string(),
        UnmapStop::Unaligned.to_string(),
        UnmapStop::OutsideAperture.to_string(),
    ]);
}

#[test]
fn an_incompatible_unit_is_refused_with_the_reason() {
    let said = [
        Incompatible::Width(AddressWidth::Bits57),
        Incompatible::Reach,
        Incompatible::PageSize(PageSize::Size1G),
        Incompatible::CpuPage,
        Incompatible::Coherency,
        Incompatible::Snoop,
    ]
    .map(|why| why.to_string());
    all_different(&said);
    assert_eq!(said[0], "it walks no 57-bit tables");
    assert_eq!(said[2], "it has no pages of 1073741824 bytes");
    assert_eq!(AddressWidth::Bits48.to_string(), "48-bit (4 levels)");
}

#[test]
fn what_a_scope_names_has_a_name() {
    let said = [
        ScopeKind::Endpoint,
        ScopeKind::Bridge,
        ScopeKind::IoApic,
        ScopeKind::Hpet,
        ScopeKind::Namespace,
        ScopeKind::Unknown(9),
    ]
    .map(|kind| kind.to_string());
    all_different(&said);
    assert!(said[5].ends_with('9'));
}

#[test]
fn a_bad_descriptor_is_named_with_its_type() {
    for (words, error) in [
        ([0xf, 0], BadDescriptor::Type(0xf)),
        // Granularity 0 of both caches.
        ([1, 0], BadDescriptor::Field(1)),
        ([2, 0], BadDescriptor::Field(2)),
        // A block that is not aligned to its size.
        ([0x32, 0x1001], BadDescriptor::Field(2)),
    ] {
        assert_eq!(Descriptor::decode(words), Err(error));
        let (BadDescriptor::Type(kind) | BadDescriptor::Field(kind)) = error;
        assert!(error.to_string().contains(&format!("{kind:#x}")));
    }
}

#[test]
fn a_wait_names_an_address_that_can_be_written_to() {
    assert_eq!(Descriptor::wait(PhysAddr::new(0x1002), 7), None);
    let wait = Descriptor::wait(PhysAddr::new(0x1004), 7).unwrap();
    assert_eq!(
        wait.encode(),
        Descriptor::wait_words(PhysAddr::new(0x1004), 7)
    );
    assert_eq!(Descriptor::decode(wait.encode()), Ok(wait));
}

#[test]
fn raw_values_are_returned_as_read() {
    assert_eq!(Capability::from_raw(0x1234).raw(), 0x1234);
    assert_eq!(ExtendedCapability::from_raw(0x5678).raw(), 0x5678);
    assert_eq!(Gsts::from_raw(0x9abc).raw(), 0x9abc);
    assert_eq!(Fsts::from_raw(0xdef0).raw(), 0xdef0);
    assert_eq!(FunctionMask::new(2).map(FunctionMask::raw), Some(2));
    assert_eq!(FunctionMask::new(4), None);
}

#[test]
fn a_block_shows_its_first_and_last_byte() {
    let block = PageBlock::new(Iova::new(0x4000), 2).unwrap();
    assert_eq!(block.to_string(), "0x4000..=0x7fff");
    assert_eq!(PageBlock::new(Iova::new(0x5000), 2), None);
    let scope = IotlbScope::Pages {
        domain: DomainId::new(3),
        block,
        leaves_only: false,
    };
    let drain = Drain {
        reads: true,
        writes: false,
    };
    let descriptor = Descriptor::Invalidate(Invalidation::Iotlb(scope), drain);
    assert_eq!(Descriptor::decode(descriptor.encode()), Ok(descriptor));
}

#[test]
fn descriptors_have_different_texts() {
    let (domain, source) = (DomainId::new(3), SourceId::from_bus_devfn(1, 0x28));
    let block = PageBlock::new(Iova::new(0x4000), 2).unwrap();
    let one = PageBlock::new(Iova::new(0x5000), 0).unwrap();
    let functions = FunctionMask::EXACT;
    let pages = |block, leaves_only| IotlbScope::Pages {
        domain,
        block,
        leaves_only,
    };
    let pasid = Pasid::new(0x2b).unwrap();
    let device_tlb = |pasid| DeviceTlbScope {
        source,
        physical_function: source,
        queue_depth: 0,
        pasid,
        block,
    };
    let said = [
        Invalidation::Context(ContextScope::Global),
        Invalidation::Context(ContextScope::Domain(domain)),
        Invalidation::Context(ContextScope::Device {
            domain,
            source,
            functions,
        }),
        Invalidation::Iotlb(IotlbScope::Global),
        Invalidation::Iotlb(IotlbScope::Domain(domain)),
        Invalidation::Iotlb(pages(block, true)),
        Invalidation::Iotlb(pages(one, false)),
        Invalidation::Pasid(PasidScope::Global),
        Invalidation::Pasid(PasidScope::Domain(domain)),
        Invalidation::Pasid(PasidScope::Pasid { domain, pasid }),
        Invalidation::PasidIotlb(PasidIotlbScope::Pasid { domain, pasid }),
        Invalidation::PasidIotlb(PasidIotlbScope::Pages {
            domain,
            pasid,
            block,
            leaves_only: false,
        }),
        Invalidation::DeviceTlb(device_tlb(None)),
        Invalidation::DeviceTlb(device_tlb(Some(pasid))),
        Invalidation::InterruptEntries(InterruptScope::Global),
        Invalidation::InterruptEntries(InterruptScope::Entries { index: 5, mask: 2 }),
    ]
    .map(|what| Descriptor::Invalidate(what, Drain::NONE).to_string());
    all_different(&said);
    assert_eq!(said[2], "context cache: 01:05.0 in domain-id 3");
    assert_eq!(said[5], "IOTLB: domain-id 3, 4 pages from 0x4000");
    assert_eq!(said[6], "IOTLB: domain-id 3, 1 page at 0x5000, tables too");
    assert_eq!(said[9], "PASID cache: PASID 0x2b in domain-id 3");
    assert_eq!(
        said[11],
        "PASID IOTLB: PASID 0x2b in domain-id 3, 4 pages from 0x4000, tables too"
    );
    assert_eq!(
        said[13],
        "device-TLB of 01:05.0: PASID 0x2b, 4 pages from 0x4000"
    );
    let wait = Descriptor::wait(PhysAddr::new(0x1004), 7).unwrap();
    assert_eq!(wait.to_string(), "wait: write 0x7 to 0x1004");
}

#[test]
fn registers_are_described() {
    let meaning = |name: &str, value| {
        let named = NAMED_REGISTERS
            .iter()
            .find(|named| named.name == name)
            .expect(name);
        named.describe(value).to_string()
    };
    assert_eq!(meaning("VER", 0x10), "version 1.0");
    assert_eq!(
        meaning("GSTS", 0xc400_0000),
        "translation on, root table set, queue on"
    );
    assert_eq!(meaning("GSTS", 0), "all off");
    assert_eq!(meaning("FSTS", 0x302), "record 3 is filled, no error");
    assert_eq!(
        meaning("FECTL", 0xc000_0000),
        "interrupt masked, and one is pending"
    );
    assert_eq!(meaning("IQT", 0x50), "descriptor 5");
    assert_eq!(meaning("IQA", 0x12_3001), "512 descriptors at 0x123000");
    // Descriptors of 256 bits.
    assert_eq!(meaning("IQA", 0x12_3801), "256 descriptors at 0x123000");
    assert_eq!(meaning("FEDATA", 0x4021), "");
}

#[test]
fn registers_are_listed_once_and_by_offset() {
    assert!(NAMED_REGISTERS
        .windows(2)
        .all(|two| two[0].register.offset() < two[1].register.offset()));
    // QEMU's unit: no protected memory, no interrupt remapping, no page requests.
    let (cap, ecap) = (
        Capability::from_raw(0x80d2_008c_222f_0606),
        ExtendedCapability::from_raw(0xf0_0f42),
    );
    let there: Vec<&str> = NAMED_REGISTERS
        .iter()
        .filter(|named| named.is_on(cap, ecap))
        .map(|named| named.name)
        .collect();
    assert!(there.contains(&"IQERCD") && there.contains(&"GSTS"));
    assert!(!there.contains(&"PMEN") && !there.contains(&"IRTA") && !there.contains(&"PQH"));
}
