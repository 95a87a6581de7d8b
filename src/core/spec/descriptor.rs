// SPDX-License-Identifier: GPL-2.0

//! Queued invalidation descriptors, 128 bits each (VT-d 6.5.2).
//!
//! All descriptors are encoded here. Decoding serves error reports (which descriptor did hardware
//! refuse?) and tests.

use super::address::{DomainId, Iova, PhysAddr, SourceId};
use super::bits::{at, bit, field, flag, low_mask, one};
use super::scope::{
    ContextScope, Drain, FunctionMask, Granularity, IotlbScope, PageBlock, MAX_ADDRESS_MASK,
};
use core::fmt;

const CONTEXT_CACHE: u64 = 1;
const IOTLB: u64 = 2;
const DEVICE_TLB: u64 = 3;
const INTERRUPT_ENTRY_CACHE: u64 = 4;
const WAIT: u64 = 5;

/// The scope of an interrupt entry cache invalidation (VT-d 6.5.2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InterruptScope {
    /// Everything.
    Global,
    /// `2^mask` entries from `index`.
    Entries {
        /// IIDX: the first entry.
        index: u16,
        /// IM: log2 of their number, at most 31.
        mask: u8,
    },
}

/// One descriptor of the invalidation queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Descriptor {
    /// Invalidate cached context entries (6.5.2.1).
    ContextCache(ContextScope),
    /// Invalidate cached translations (6.5.2.3).
    Iotlb {
        /// The translations.
        scope: IotlbScope,
        /// The requests to drain.
        drain: Drain,
    },
    /// Invalidate the TLB of a device (6.5.2.5).
    DeviceTlb {
        /// The device.
        source: SourceId,
        /// The physical function if `source` is a virtual function; else `source` itself.
        physical_function: SourceId,
        /// MIP: the number of invalidations that the device takes at a time, minus 1; at most 31.
        queue_depth: u8,
        /// The pages; a mask of [`MAX_ADDRESS_MASK`] means all pages.
        block: PageBlock,
    },
    /// Invalidate cached interrupt remapping entries (6.5.2.7).
    InterruptEntryCache(InterruptScope),
    /// Report that all descriptors before this one are complete (6.5.2.8).
    Wait {
        /// SW: write this value to this address (a multiple of 4) on completion.
        status: Option<(PhysAddr, u32)>,
        /// IF: raise the completion event on completion.
        interrupt: bool,
        /// FN: start no later descriptor before this one is complete.
        fence: bool,
    },
}

/// The reason why 128 bits are not a valid descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadDescriptor {
    /// No legacy-mode descriptor has this type.
    Type(u8),
    /// A field of a descriptor of this type holds a reserved value.
    Field(u8),
}

impl Descriptor {
    /// Creates a wait that writes `value` to `address`, or returns `None` if that is not a multiple
    /// of 4.
    #[inline]
    pub const fn wait(address: PhysAddr, value: u32) -> Option<Self> {
        if !address.is_aligned(2) {
            return None;
        }
        Some(Self::Wait {
            status: Some((address, value)),
            interrupt: false,
            fence: false,
        })
    }

    /// Returns the words for memory: bits 63:0, then 127:64.
    #[inline]
    pub const fn encode(self) -> [u64; 2] {
        match self {
            Self::ContextCache(scope) => [encode_context(scope), 0],
            Self::Iotlb { scope, drain } => encode_iotlb(scope, drain),
            Self::DeviceTlb {
                source,
                physical_function,
                queue_depth,
                block,
            } => encode_device_tlb(source, physical_function, queue_depth, block),
            Self::InterruptEntryCache(scope) => {
                let operands = match scope {
                    InterruptScope::Global => 0,
                    InterruptScope::Entries { index, mask } => {
                        one(4) | at(mask as u64 & 0x1f, 27) | at(index as u64, 32)
                    }
                };
                [INTERRUPT_ENTRY_CACHE | operands, 0]
            }
            Self::Wait {
                status,
                interrupt,
                fence,
            } => {
                let low = WAIT | flag(interrupt, 4) | flag(fence, 6);
                match status {
                    Some(status) => with_status(low, status),
                    None => [low, 0],
                }
            }
        }
    }

    /// Returns the words of a wait that writes `value` to `address`, whose lowest two bits count as
    /// 0: [`encode`](Self::encode) of [`wait`](Self::wait).
    #[inline(always)]
    pub const fn wait_words(address: PhysAddr, value: u32) -> [u64; 2] {
        with_status(WAIT, (address, value))
    }

    /// Decodes 128 bits.
    ///
    /// # Errors
    ///
    /// The type is unknown, or hardware would refuse a granularity, mask or address.
    pub const fn decode([low, high]: [u64; 2]) -> Result<Self, BadDescriptor> {
        let kind = field(low, 3, 0);
        let decoded = match kind {
            CONTEXT_CACHE => decode_context(low),
            IOTLB => decode_iotlb(low, high),
            DEVICE_TLB => decode_device_tlb(low, high),
            INTERRUPT_ENTRY_CACHE => Some(Self::InterruptEntryCache(if bit(low, 4) {
                InterruptScope::Entries {
                    index: field(low, 47, 32) as u16,
                    mask: field(low, 31, 27) as u8,
                }
            } else {
                InterruptScope::Global
            })),
            WAIT => Some(Self::Wait {
                status: if bit(low, 5) {
                    Some((PhysAddr::new(high & !3), field(low, 63, 32) as u32))
                } else {
                    None
                },
                interrupt: bit(low, 4),
                fence: bit(low, 6),
            }),
            _ => return Err(BadDescriptor::Type(kind as u8)),
        };
        match decoded {
            Some(descriptor) => Ok(descriptor),
            None => Err(BadDescriptor::Field(kind as u8)),
        }
    }
}

#[inline(always)]
const fn with_status(low: u64, (address, value): (PhysAddr, u32)) -> [u64; 2] {
    const WRITES_STATUS: u64 = one(5);
    [
        low | WRITES_STATUS | ((value as u64) << 32),
        address.raw() & !3,
    ]
}

const fn encode_context(scope: ContextScope) -> u64 {
    let operands = match scope {
        ContextScope::Global => 0,
        ContextScope::Domain(domain) => at(domain.raw() as u64, 16),
        ContextScope::Device {
            domain,
            source,
            functions,
        } => {
            at(domain.raw() as u64, 16)
                | at(source.raw() as u64, 32)
                | at(functions.raw() as u64, 48)
        }
    };
    CONTEXT_CACHE | at(scope.granularity().code(), 4) | operands
}

const fn decode_context(low: u64) -> Option<Descriptor> {
    let domain = DomainId::new(field(low, 31, 16) as u16);
    let Some(granularity) = Granularity::from_code(field(low, 5, 4)) else {
        return None;
    };
    let scope = match granularity {
        Granularity::Global => ContextScope::Global,
        Granularity::Domain => ContextScope::Domain(domain),
        Granularity::Selective => {
            let Some(functions) = FunctionMask::new(field(low, 49, 48) as u8) else {
                return None;
            };
            ContextScope::Device {
                domain,
                source: SourceId::from_raw(field(low, 47, 32) as u16),
                functions,
            }
        }
    };
    Some(Descriptor::ContextCache(scope))
}

#[inline]
const fn encode_iotlb(scope: IotlbScope, drain: Drain) -> [u64; 2] {
    let low =
        IOTLB | at(scope.granularity().code(), 4) | flag(drain.writes, 6) | flag(drain.reads, 7);
    match scope {
        IotlbScope::Global => [low, 0],
        IotlbScope::Domain(domain) => [low | at(domain.raw() as u64, 16), 0],
        IotlbScope::Pages {
            domain,
            block,
            leaves_only,
        } => [
            low | at(domain.raw() as u64, 16),
            pages_operand(block, leaves_only),
        ],
    }
}

#[inline(always)]
const fn pages_operand(block: PageBlock, leaves_only: bool) -> u64 {
    block.address().raw() | ((leaves_only as u64) << 6) | block.address_mask() as u64
}

/// An encoder of IOTLB invalidations for one unit; it computes their common bits once.
#[derive(Clone, Copy, Debug)]
pub struct IotlbEncoder {
    pages: u64,
    domain: u64,
}

impl IotlbEncoder {
    /// Creates the encoder of a unit that uses `drain`.
    pub const fn new(drain: Drain) -> Self {
        let drain = flag(drain.writes, 6) | flag(drain.reads, 7);
        Self {
            pages: IOTLB | at(Granularity::Selective.code(), 4) | drain,
            domain: IOTLB | at(Granularity::Domain.code(), 4) | drain,
        }
    }

    /// Returns [`Descriptor::encode`] for [`IotlbScope::Pages`].
    #[inline(always)]
    pub const fn pages(&self, domain: DomainId, block: PageBlock, leaves_only: bool) -> [u64; 2] {
        [
            self.pages | ((domain.raw() as u64) << 16),
            pages_operand(block, leaves_only),
        ]
    }

    /// Returns [`Descriptor::encode`] for [`IotlbScope::Domain`].
    #[inline(always)]
    pub const fn domain(&self, domain: DomainId) -> [u64; 2] {
        [self.domain | ((domain.raw() as u64) << 16), 0]
    }
}

const fn decode_iotlb(low: u64, high: u64) -> Option<Descriptor> {
    let domain = DomainId::new(field(low, 31, 16) as u16);
    let Some(granularity) = Granularity::from_code(field(low, 5, 4)) else {
        return None;
    };
    let scope = match granularity {
        Granularity::Global => IotlbScope::Global,
        Granularity::Domain => IotlbScope::Domain(domain),
        Granularity::Selective => {
            let mask = field(high, 5, 0) as u8;
            let Some(block) = PageBlock::new(Iova::new(high).page(), mask) else {
                return None;
            };
            IotlbScope::Pages {
                domain,
                block,
                leaves_only: bit(high, 6),
            }
        }
    };
    Some(Descriptor::Iotlb {
        scope,
        drain: Drain {
            reads: bit(low, 7),
            writes: bit(low, 6),
        },
    })
}

/// Encodes a device-TLB invalidation.
///
/// The address contains the size (PCIe ATS): S is set for more than one page, and the number of
/// ones from bit 12 up gives the number of pages.
const fn encode_device_tlb(
    source: SourceId,
    physical_function: SourceId,
    queue_depth: u8,
    block: PageBlock,
) -> [u64; 2] {
    let pf = physical_function.raw() as u64;
    let low = DEVICE_TLB
        | at(queue_depth as u64 & 0x1f, 16)
        | at(source.raw() as u64, 32)
        | at(pf & 0xf, 12)
        | at(pf >> 4, 52);
    let mask = block.address_mask();
    let address = block.address().raw();
    if mask == 0 {
        return [low, address];
    }
    // Ones below the highest bit of the block, without the page offset. For the whole space, all
    // bits but the topmost are ones.
    let ones = low_mask(12 + mask as u32 - 1) & !0xfff;
    [low, address | ones | 1]
}

const fn decode_device_tlb(low: u64, high: u64) -> Option<Descriptor> {
    let pf = field(low, 15, 12) | at(field(low, 63, 52), 4);
    let mask = if bit(high, 0) {
        (high >> 12).trailing_ones() as u8 + 1
    } else {
        0
    };
    if mask > MAX_ADDRESS_MASK {
        return None;
    }
    let base = high & !low_mask(12 + mask as u32);
    let Some(block) = PageBlock::new(Iova::new(base), mask) else {
        return None;
    };
    Some(Descriptor::DeviceTlb {
        source: SourceId::from_raw(field(low, 47, 32) as u16),
        physical_function: SourceId::from_raw(pf as u16),
        queue_depth: field(low, 20, 16) as u8,
        block,
    })
}

impl fmt::Display for BadDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type(kind) => write!(f, "no legacy-mode descriptor has type {kind:#x}"),
            Self::Field(kind) => {
                write!(f, "descriptor of type {kind:#x} holds a reserved value")
            }
        }
    }
}
