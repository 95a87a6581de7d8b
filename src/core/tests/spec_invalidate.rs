// SPDX-License-Identifier: GPL-2.0

//! Descriptors and the register-based commands.

use proptest::prelude::*;
use vtd_core::spec::address::{DomainId, Iova, Pasid, PhysAddr, SourceId};
use vtd_core::spec::capability::Capability;
use vtd_core::spec::command::{ContextCommand, IotlbCommand, RegisterCommand};
use vtd_core::spec::descriptor::{BadDescriptor, Descriptor};
use vtd_core::spec::invalidation::{
    DeviceTlbScope, InterruptScope, Invalidation, PasidIotlbScope, PasidScope,
};
use vtd_core::spec::scope::{
    ContextScope, Drain, FunctionMask, Granularity, IotlbScope, PageBlock, MAX_ADDRESS_MASK,
};

const DOMAIN: DomainId = DomainId::new(5);
const SOURCE: SourceId = SourceId::from_bus_devfn(0, 0x28);
const BOTH: Drain = Drain {
    reads: true,
    writes: true,
};

fn device(functions: FunctionMask) -> ContextScope {
    ContextScope::Device {
        domain: DOMAIN,
        source: SOURCE,
        functions,
    }
}

fn pages() -> IotlbScope {
    IotlbScope::Pages {
        domain: DOMAIN,
        block: PageBlock::new(Iova::new(0x20_0000), 9).unwrap(),
        leaves_only: true,
    }
}

fn invalidate(what: Invalidation) -> Descriptor {
    Descriptor::Invalidate(what, Drain::NONE)
}

fn device_tlb(pasid: Option<Pasid>, address: u64, mask: u8) -> Descriptor {
    invalidate(Invalidation::DeviceTlb(DeviceTlbScope {
        source: SOURCE,
        physical_function: SOURCE,
        queue_depth: 0x1f,
        pasid,
        block: PageBlock::new(Iova::new(address), mask).unwrap(),
    }))
}

/// Descriptors with their 128 bits, computed by hand.
fn by_hand() -> Vec<(Descriptor, [u64; 2])> {
    let context = |scope| invalidate(Invalidation::Context(scope));
    let iotlb = |scope, drain| Descriptor::Invalidate(Invalidation::Iotlb(scope), drain);
    let interrupts = |scope| invalidate(Invalidation::InterruptEntries(scope));
    let device_tlb = |address, mask| device_tlb(None, address, mask);
    vec![
        (context(ContextScope::Global), [0x11, 0]),
        (context(ContextScope::Domain(DOMAIN)), [0x5_0021, 0]),
        (
            context(device(FunctionMask::ALL_FUNCTIONS)),
            [0x0003_0028_0005_0031, 0],
        ),
        (iotlb(IotlbScope::Global, BOTH), [0xd2, 0]),
        (iotlb(IotlbScope::Domain(DOMAIN), BOTH), [0x5_00e2, 0]),
        (
            iotlb(IotlbScope::Domain(DOMAIN), Drain::NONE),
            [0x5_0022, 0],
        ),
        (iotlb(pages(), BOTH), [0x5_00f2, 0x20_0049]),
        (device_tlb(0x1000, 0), [0x0020_0028_001f_8003, 0x1000]),
        (device_tlb(0x2000, 1), [0x0020_0028_001f_8003, 0x2001]),
        (device_tlb(0x4000, 2), [0x0020_0028_001f_8003, 0x5001]),
        (
            device_tlb(0, MAX_ADDRESS_MASK),
            [0x0020_0028_001f_8003, 0x7fff_ffff_ffff_f001],
        ),
        (interrupts(InterruptScope::Global), [4, 0]),
        (
            interrupts(InterruptScope::Entries { index: 5, mask: 2 }),
            [0x5_1000_0014, 0],
        ),
        (
            Descriptor::wait(PhysAddr::new(0x1234_5678), 2).unwrap(),
            [0x2_0000_0025, 0x1234_5678],
        ),
        (
            Descriptor::Wait {
                status: None,
                interrupt: true,
                fence: true,
            },
            [0x55, 0],
        ),
    ]
}

/// Descriptors of scalable mode with their bits 127:0, computed by hand.
fn wide_by_hand() -> Vec<(Descriptor, [u64; 2])> {
    let pasid = Pasid::new(0xabcde).unwrap();
    let cache = |scope| invalidate(Invalidation::Pasid(scope));
    let iotlb = |scope| invalidate(Invalidation::PasidIotlb(scope));
    let pages = |mask, leaves_only| PasidIotlbScope::Pages {
        domain: DOMAIN,
        pasid,
        block: PageBlock::new(Iova::new(0x20_0000), mask).unwrap(),
        leaves_only,
    };
    let domain = DOMAIN;
    vec![
        (cache(PasidScope::Global), [0x37, 0]),
        (cache(PasidScope::Domain(domain)), [0x5_0007, 0]),
        (
            cache(PasidScope::Pasid { domain, pasid }),
            [0xa_bcde_0005_0017, 0],
        ),
        (
            iotlb(PasidIotlbScope::Pasid { domain, pasid }),
            [0xa_bcde_0005_0026, 0],
        ),
        (iotlb(pages(9, true)), [0xa_bcde_0005_0036, 0x20_0049]),
        (iotlb(pages(0, false)), [0xa_bcde_0005_0036, 0x20_0000]),
        (
            device_tlb(Some(pasid), 0x1000, 0),
            [0x002a_bcde_0028_81f8, 0x1000],
        ),
        (
            device_tlb(Some(pasid), 0x4000, 2),
            [0x002a_bcde_0028_81f8, 0x5800],
        ),
        (
            device_tlb(Some(pasid), 0, MAX_ADDRESS_MASK),
            [0x002a_bcde_0028_81f8, 0x7fff_ffff_ffff_f800],
        ),
    ]
}

#[test]
fn descriptors_encode_as_computed_by_hand() {
    for (descriptor, words) in by_hand().into_iter().chain(wide_by_hand()) {
        let encoded = descriptor.encode();
        assert_eq!(encoded, words, "{descriptor:?}: {encoded:#x?}");
        let [low, high] = words;
        assert_eq!(descriptor.encode_wide(), [low, high, 0, 0]);
    }
}

#[test]
fn descriptors_decode_to_what_they_encode() {
    for (descriptor, words) in by_hand() {
        assert_eq!(Descriptor::decode(words), Ok(descriptor));
    }
    for (descriptor, [low, high]) in by_hand().into_iter().chain(wide_by_hand()) {
        let decode = Descriptor::decode_wide;
        assert_eq!(decode([low, high, 0, 0]), Ok(descriptor));
        // Bits 255:128 are reserved in all of them.
        let refused = Err(BadDescriptor::Field(low as u8 & 0xf));
        assert_eq!(decode([low, high, 1, 0]), refused);
        assert_eq!(decode([low, high, 0, 1 << 63]), refused);
    }
}

#[test]
fn legacy_mode_has_no_descriptor_with_a_pasid() {
    for (_, words) in wide_by_hand() {
        let refused = Err(BadDescriptor::Type(words[0] as u8 & 0xf));
        assert_eq!(Descriptor::decode(words), refused);
    }
    assert_eq!(Pasid::new(1 << 20), None);
}

#[test]
fn registers_invalidate_the_context_cache_and_the_iotlb_only() {
    let context = ContextScope::Domain(DOMAIN);
    assert_eq!(
        RegisterCommand::new(Invalidation::Context(context), BOTH),
        Some(RegisterCommand::Context(ContextCommand::new(context)))
    );
    assert_eq!(
        RegisterCommand::new(Invalidation::Iotlb(pages()), BOTH),
        Some(RegisterCommand::Iotlb(IotlbCommand::new(pages(), BOTH)))
    );
    for (descriptor, _) in by_hand().into_iter().chain(wide_by_hand()) {
        let Descriptor::Invalidate(what, _) = descriptor else {
            continue;
        };
        let by_register = matches!(what, Invalidation::Context(_) | Invalidation::Iotlb(_));
        let command = RegisterCommand::new(what, BOTH);
        assert_eq!(command.is_some(), by_register, "{what}");
    }
}

#[test]
fn what_hardware_refuses_does_not_decode() {
    for kind in [0, 6, 7, 8, 9, 0xa, 0xf] {
        assert_eq!(
            Descriptor::decode([kind, 0]),
            Err(BadDescriptor::Type(kind as u8))
        );
    }
    // Granularity 0, and a page that is not aligned to its mask.
    assert_eq!(Descriptor::decode([0x1, 0]), Err(BadDescriptor::Field(1)));
    assert_eq!(Descriptor::decode([0x2, 0]), Err(BadDescriptor::Field(2)));
    assert_eq!(
        Descriptor::decode([0x32, 0x1001]),
        Err(BadDescriptor::Field(2))
    );
    assert_eq!(
        Descriptor::decode([3, u64::MAX]),
        Err(BadDescriptor::Field(3))
    );
    for (words, kind) in [
        // Granularities that the PASID caches do not have, an unaligned page, more than all pages.
        ([0x27, 0, 0, 0], 7),
        ([0x6, 0, 0, 0], 6),
        ([0x16, 0, 0, 0], 6),
        ([0x36, 0x1001, 0, 0], 6),
        ([0x8, u64::MAX, 0, 0], 8),
    ] {
        let refused = Err(BadDescriptor::Field(kind));
        assert_eq!(Descriptor::decode_wide(words), refused);
    }
    assert_eq!(Descriptor::wait(PhysAddr::new(2), 0), None);
}

proptest! {
    #[test]
    fn wait_words_are_the_encoded_wait(address in any::<u64>(), value in any::<u32>()) {
        let address = PhysAddr::new(address & !3);
        let wait = Descriptor::wait(address, value).unwrap();
        prop_assert_eq!(Descriptor::wait_words(address, value), wait.encode());
    }
}

#[test]
fn context_commands_encode_as_computed_by_hand() {
    let raw = |scope| ContextCommand::new(scope).raw();
    assert_eq!(raw(ContextScope::Global), 0xa000_0000_0000_0000);
    assert_eq!(raw(ContextScope::Domain(DOMAIN)), 0xc000_0000_0000_0005);
    assert_eq!(raw(device(FunctionMask::EXACT)), 0xe000_0000_0028_0005);
    assert_eq!(
        raw(device(FunctionMask::ALL_FUNCTIONS)),
        0xe000_0003_0028_0005
    );
    assert!(ContextCommand::is_busy(1 << 63) && !ContextCommand::is_busy(!(1 << 63)));
    assert_eq!(ContextCommand::actual_granularity(0), None);
    assert_eq!(
        ContextCommand::actual_granularity(1 << 59),
        Some(Granularity::Global)
    );
    assert_eq!(
        ContextCommand::actual_granularity(3 << 59),
        Some(Granularity::Selective)
    );
}

#[test]
fn iotlb_commands_encode_as_computed_by_hand() {
    let raw = |scope| {
        let command = IotlbCommand::new(scope, BOTH);
        (command.address(), command.command())
    };
    assert_eq!(raw(IotlbScope::Global), (None, 0x9003_0000_0000_0000));
    assert_eq!(
        raw(IotlbScope::Domain(DOMAIN)),
        (None, 0xa003_0005_0000_0000)
    );
    assert_eq!(raw(pages()), (Some(0x20_0049), 0xb003_0005_0000_0000));
    let reads = Drain {
        reads: true,
        writes: false,
    };
    assert_eq!(
        IotlbCommand::new(IotlbScope::Global, reads).command(),
        0x9002_0000_0000_0000
    );
    assert!(IotlbCommand::is_busy(1 << 63) && !IotlbCommand::is_busy(!(1 << 63)));
    assert_eq!(IotlbCommand::actual_granularity(0), None);
    assert_eq!(
        IotlbCommand::actual_granularity(2 << 57),
        Some(Granularity::Domain)
    );
}

#[test]
fn the_unit_drains_what_it_can() {
    assert_eq!(Drain::of(Capability::from_raw(0)), Drain::NONE);
    assert_eq!(Drain::of(Capability::from_raw(3 << 54)), BOTH);
    assert!(Drain::of(Capability::from_raw(1 << 54)).writes);
}

#[test]
fn blocks_are_naturally_aligned() {
    assert_eq!(PageBlock::new(Iova::new(0x1000), 1), None);
    assert_eq!(PageBlock::new(Iova::new(0), MAX_ADDRESS_MASK + 1), None);
    let all = PageBlock::covering(Iova::new(0), Iova::new(u64::MAX)).unwrap();
    assert_eq!((all.address_mask(), all.last()), (52, Iova::new(u64::MAX)));
    assert_eq!(PageBlock::covering(Iova::new(2), Iova::new(1)), None);
    assert_eq!(FunctionMask::new(4), None);
}

proptest! {
    #[test]
    fn the_covering_block_is_the_smallest(first: u64, length in 0u64..1 << 40, shift in 0u32..64) {
        let first = first >> shift;
        let last = first.saturating_add(length);
        let block = PageBlock::covering(Iova::new(first), Iova::new(last)).unwrap();
        prop_assert!(block.address().raw() <= first && last <= block.last().raw());
        prop_assert!(PageBlock::new(block.address(), block.address_mask()) == Some(block));
        if block.address_mask() > 0 {
            // One smaller would hold only one of the two ends.
            let size = 12 + u32::from(block.address_mask()) - 1;
            prop_assert_ne!(first >> size, last >> size);
        }
    }

    #[test]
    fn decoding_is_total_and_encoding_undoes_it(low: u64, high: u64, kind in 1u64..9) {
        let low = low & !0xf | kind;
        if let Ok(descriptor) = Descriptor::decode([low, high]) {
            prop_assert_eq!(Descriptor::decode(descriptor.encode()), Ok(descriptor));
        }
        if let Ok(descriptor) = Descriptor::decode_wide([low, high, 0, 0]) {
            let again = Descriptor::decode_wide(descriptor.encode_wide());
            prop_assert_eq!(again, Ok(descriptor));
        }
    }
}
