// SPDX-License-Identifier: GPL-2.0

//! Descriptors and the register-based commands.

use proptest::prelude::*;
use vtd_core::spec::address::{DomainId, Iova, PhysAddr, SourceId};
use vtd_core::spec::capability::Capability;
use vtd_core::spec::command::{ContextCommand, IotlbCommand};
use vtd_core::spec::descriptor::{BadDescriptor, Descriptor, InterruptScope};
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

fn device_tlb(address: u64, mask: u8) -> Descriptor {
    Descriptor::DeviceTlb {
        source: SOURCE,
        physical_function: SOURCE,
        queue_depth: 0x1f,
        block: PageBlock::new(Iova::new(address), mask).unwrap(),
    }
}

/// Descriptors with their 128 bits, computed by hand.
fn by_hand() -> Vec<(Descriptor, [u64; 2])> {
    let iotlb = |scope, drain| Descriptor::Iotlb { scope, drain };
    vec![
        (Descriptor::ContextCache(ContextScope::Global), [0x11, 0]),
        (
            Descriptor::ContextCache(ContextScope::Domain(DOMAIN)),
            [0x5_0021, 0],
        ),
        (
            Descriptor::ContextCache(device(FunctionMask::ALL_FUNCTIONS)),
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
        (
            Descriptor::InterruptEntryCache(InterruptScope::Global),
            [4, 0],
        ),
        (
            Descriptor::InterruptEntryCache(InterruptScope::Entries { index: 5, mask: 2 }),
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

#[test]
fn descriptors_encode_as_computed_by_hand() {
    for (descriptor, words) in by_hand() {
        let encoded = descriptor.encode();
        assert_eq!(encoded, words, "{descriptor:?}: {encoded:#x?}");
    }
}

#[test]
fn descriptors_decode_to_what_they_encode() {
    for (descriptor, words) in by_hand() {
        assert_eq!(Descriptor::decode(words), Ok(descriptor));
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
    fn decoding_is_total_and_encoding_undoes_it(low: u64, high: u64, kind in 1u64..6) {
        let words = [low & !0xf | kind, high];
        if let Ok(descriptor) = Descriptor::decode(words) {
            prop_assert_eq!(Descriptor::decode(descriptor.encode()), Ok(descriptor));
        }
    }
}
