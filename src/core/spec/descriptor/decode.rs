// SPDX-License-Identifier: GPL-2.0

//! Decodes descriptors.

use super::{
    BadDescriptor, Descriptor, CONTEXT_CACHE, DEVICE_TLB, INTERRUPT_ENTRY_CACHE, IOTLB,
    PASID_CACHE, PASID_DEVICE_TLB, PASID_IOTLB, WAIT,
};
use crate::spec::address::{DomainId, Iova, Pasid, PhysAddr, SourceId};
use crate::spec::bits::{at, bit, field, low_mask};
use crate::spec::invalidation::{
    DeviceTlbScope, InterruptScope, Invalidation, PasidIotlbScope, PasidScope,
};
use crate::spec::scope::{
    ContextScope, Drain, FunctionMask, Granularity, IotlbScope, PageBlock, MAX_ADDRESS_MASK,
};

impl Descriptor {
    /// Decodes a slot of 128 bits, in legacy mode.
    ///
    /// # Errors
    ///
    /// The type is not one of legacy mode, or hardware would refuse a granularity, mask or address.
    pub const fn decode([low, high]: [u64; 2]) -> Result<Self, BadDescriptor> {
        match field(low, 3, 0) {
            kind @ (PASID_IOTLB | PASID_CACHE | PASID_DEVICE_TLB) => {
                Err(BadDescriptor::Type(kind as u8))
            }
            _ => decode_any(low, high),
        }
    }

    /// Decodes a slot of 256 bits, in scalable mode.
    ///
    /// # Errors
    ///
    /// As of [`Self::decode`], or one of bits 255:128 is set.
    pub const fn decode_wide([low, high, third, fourth]: [u64; 4]) -> Result<Self, BadDescriptor> {
        match decode_any(low, high) {
            Ok(_) if third | fourth != 0 => Err(BadDescriptor::Field(field(low, 3, 0) as u8)),
            decoded => decoded,
        }
    }
}

const fn decode_any(low: u64, high: u64) -> Result<Descriptor, BadDescriptor> {
    let kind = field(low, 3, 0);
    let what = match kind {
        CONTEXT_CACHE => decode_context(low),
        IOTLB => decode_iotlb(low, high),
        DEVICE_TLB | PASID_DEVICE_TLB => decode_device_tlb(low, high),
        INTERRUPT_ENTRY_CACHE => Some(Invalidation::InterruptEntries(if bit(low, 4) {
            InterruptScope::Entries {
                index: field(low, 47, 32) as u16,
                mask: field(low, 31, 27) as u8,
            }
        } else {
            InterruptScope::Global
        })),
        WAIT => {
            return Ok(Descriptor::Wait {
                status: if bit(low, 5) {
                    Some((PhysAddr::new(high & !3), field(low, 63, 32) as u32))
                } else {
                    None
                },
                interrupt: bit(low, 4),
                fence: bit(low, 6),
            })
        }
        PASID_IOTLB => decode_pasid_iotlb(low, high),
        PASID_CACHE => decode_pasid(low),
        _ => return Err(BadDescriptor::Type(kind as u8)),
    };
    let drain = match kind {
        IOTLB => Drain {
            reads: bit(low, 7),
            writes: bit(low, 6),
        },
        _ => Drain::NONE,
    };
    match what {
        Some(what) => Ok(Descriptor::Invalidate(what, drain)),
        None => Err(BadDescriptor::Field(kind as u8)),
    }
}

const fn tag(low: u64) -> DomainId {
    DomainId::new(field(low, 31, 16) as u16)
}

/// Returns the block of an address operand, or `None` if it is not aligned to its size.
const fn block(high: u64) -> Option<PageBlock> {
    PageBlock::new(Iova::new(high).page(), field(high, 5, 0) as u8)
}

const fn decode_context(low: u64) -> Option<Invalidation> {
    let Some(granularity) = Granularity::from_code(field(low, 5, 4)) else {
        return None;
    };
    Some(Invalidation::Context(match granularity {
        Granularity::Global => ContextScope::Global,
        Granularity::Domain => ContextScope::Domain(tag(low)),
        Granularity::Selective => {
            let Some(functions) = FunctionMask::new(field(low, 49, 48) as u8) else {
                return None;
            };
            ContextScope::Device {
                domain: tag(low),
                source: SourceId::from_raw(field(low, 47, 32) as u16),
                functions,
            }
        }
    }))
}

const fn decode_pasid(low: u64) -> Option<Invalidation> {
    Some(Invalidation::Pasid(match field(low, 5, 4) {
        0 => PasidScope::Domain(tag(low)),
        1 => PasidScope::Pasid {
            domain: tag(low),
            pasid: Pasid::from_field(low, 32),
        },
        3 => PasidScope::Global,
        _ => return None,
    }))
}

const fn decode_iotlb(low: u64, high: u64) -> Option<Invalidation> {
    let Some(granularity) = Granularity::from_code(field(low, 5, 4)) else {
        return None;
    };
    Some(Invalidation::Iotlb(match granularity {
        Granularity::Global => IotlbScope::Global,
        Granularity::Domain => IotlbScope::Domain(tag(low)),
        Granularity::Selective => {
            let Some(block) = block(high) else {
                return None;
            };
            IotlbScope::Pages {
                domain: tag(low),
                block,
                leaves_only: bit(high, 6),
            }
        }
    }))
}

const fn decode_pasid_iotlb(low: u64, high: u64) -> Option<Invalidation> {
    let (domain, pasid) = (tag(low), Pasid::from_field(low, 32));
    Some(Invalidation::PasidIotlb(match field(low, 5, 4) {
        2 => PasidIotlbScope::Pasid { domain, pasid },
        3 => {
            let Some(block) = block(high) else {
                return None;
            };
            PasidIotlbScope::Pages {
                domain,
                pasid,
                block,
                leaves_only: bit(high, 6),
            }
        }
        _ => return None,
    }))
}

const fn decode_device_tlb(low: u64, high: u64) -> Option<Invalidation> {
    let pf = field(low, 15, 12) | at(field(low, 63, 52), 4);
    let (source, queue_depth, pasid, size) = if field(low, 3, 0) == DEVICE_TLB {
        (field(low, 47, 32), field(low, 20, 16), None, 0)
    } else {
        let pasid = Some(Pasid::from_field(low, 32));
        (field(low, 31, 16), field(low, 8, 4), pasid, 11)
    };
    let mask = if bit(high, size) {
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
    Some(Invalidation::DeviceTlb(DeviceTlbScope {
        source: SourceId::from_raw(source as u16),
        physical_function: SourceId::from_raw(pf as u16),
        queue_depth: queue_depth as u8,
        pasid,
        block,
    }))
}
