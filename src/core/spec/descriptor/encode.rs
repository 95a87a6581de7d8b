// SPDX-License-Identifier: GPL-2.0

//! Encodes descriptors.

use super::{
    Descriptor, CONTEXT_CACHE, DEVICE_TLB, INTERRUPT_ENTRY_CACHE, IOTLB, PASID_CACHE,
    PASID_DEVICE_TLB, PASID_IOTLB, WAIT,
};
use crate::spec::address::{DomainId, Pasid, PhysAddr};
use crate::spec::bits::{at, flag, low_mask, one};
use crate::spec::invalidation::{
    DeviceTlbScope, InterruptScope, Invalidation, PasidIotlbScope, PasidScope,
};
use crate::spec::scope::{ContextScope, Drain, IotlbScope};

/// An encoder of the invalidations of one unit.
#[derive(Clone, Copy, Debug)]
pub struct InvalidationEncoder {
    /// The low bits of an IOTLB invalidation that every one has: its type, and what it drains.
    iotlb: u64,
}

impl InvalidationEncoder {
    /// Creates the encoder of a unit that uses `drain`.
    pub const fn new(drain: Drain) -> Self {
        Self {
            iotlb: IOTLB | flag(drain.writes, 6) | flag(drain.reads, 7),
        }
    }

    /// Returns the words of a descriptor for memory: bits 63:0, then 127:64. In a slot of 256 bits,
    /// the others are 0.
    #[inline(always)]
    pub const fn encode(&self, what: Invalidation) -> [u64; 2] {
        match what {
            Invalidation::Iotlb(scope) => {
                let low = self.iotlb | at(scope.granularity().code(), 4);
                match scope {
                    IotlbScope::Global => [low, 0],
                    IotlbScope::Domain(domain) => [low | tag(domain), 0],
                    IotlbScope::Pages {
                        domain,
                        block,
                        leaves_only,
                    } => [low | tag(domain), block.operand(leaves_only)],
                }
            }
            Invalidation::Context(scope) => [encode_context(scope), 0],
            Invalidation::Pasid(scope) => [encode_pasid(scope), 0],
            Invalidation::PasidIotlb(scope) => encode_pasid_iotlb(scope),
            Invalidation::DeviceTlb(scope) => encode_device_tlb(scope),
            Invalidation::InterruptEntries(scope) => [encode_interrupt_entries(scope), 0],
        }
    }
}

impl Descriptor {
    /// Returns the words for memory, as [`InvalidationEncoder::encode`].
    #[inline]
    pub const fn encode(self) -> [u64; 2] {
        match self {
            Self::Invalidate(what, drain) => InvalidationEncoder::new(drain).encode(what),
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

    /// Returns the words of a slot of 256 bits.
    pub const fn encode_wide(self) -> [u64; 4] {
        let [low, high] = self.encode();
        [low, high, 0, 0]
    }

    /// Returns the words of a wait that writes `value` to `address`, whose lowest two bits count as
    /// 0: [`encode`](Self::encode) of [`wait`](Self::wait).
    #[inline(always)]
    pub const fn wait_words(address: PhysAddr, value: u32) -> [u64; 2] {
        with_status(WAIT, (address, value))
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

#[inline(always)]
const fn tag(domain: DomainId) -> u64 {
    (domain.raw() as u64) << 16
}

const fn address_space(pasid: Pasid) -> u64 {
    at(pasid.raw() as u64, 32)
}

const fn encode_context(scope: ContextScope) -> u64 {
    let operands = match scope {
        ContextScope::Global => 0,
        ContextScope::Domain(domain) => tag(domain),
        ContextScope::Device {
            domain,
            source,
            functions,
        } => tag(domain) | at(source.raw() as u64, 32) | at(functions.raw() as u64, 48),
    };
    CONTEXT_CACHE | at(scope.granularity().code(), 4) | operands
}

const fn encode_pasid(scope: PasidScope) -> u64 {
    PASID_CACHE
        | match scope {
            PasidScope::Domain(domain) => tag(domain),
            PasidScope::Pasid { domain, pasid } => at(1, 4) | tag(domain) | address_space(pasid),
            PasidScope::Global => at(3, 4),
        }
}

const fn encode_pasid_iotlb(scope: PasidIotlbScope) -> [u64; 2] {
    match scope {
        PasidIotlbScope::Pasid { domain, pasid } => {
            let low = PASID_IOTLB | at(2, 4);
            [low | tag(domain) | address_space(pasid), 0]
        }
        PasidIotlbScope::Pages {
            domain,
            pasid,
            block,
            leaves_only,
        } => {
            let low = PASID_IOTLB | at(3, 4);
            [
                low | tag(domain) | address_space(pasid),
                block.operand(leaves_only),
            ]
        }
    }
}

/// Encodes a device-TLB invalidation.
///
/// The address contains the size (PCIe ATS): S is set for more than one page, and the number of
/// ones from bit 12 up gives the number of pages.
const fn encode_device_tlb(scope: DeviceTlbScope) -> [u64; 2] {
    let depth = scope.queue_depth as u64 & 0x1f;
    let source = scope.source.raw() as u64;
    let pf = scope.physical_function.raw() as u64;
    let common = at(pf & 0xf, 12) | at(pf >> 4, 52);
    let (low, size) = match scope.pasid {
        None => (DEVICE_TLB | at(depth, 16) | at(source, 32), one(0)),
        Some(pasid) => (
            PASID_DEVICE_TLB | at(depth, 4) | at(source, 16) | address_space(pasid),
            one(11),
        ),
    };
    let mask = scope.block.address_mask();
    let address = scope.block.address().raw();
    if mask == 0 {
        return [low | common, address];
    }
    // Ones below the highest bit of the block, without the page offset. For the whole space, all
    // bits but the topmost are ones.
    let ones = low_mask(12 + mask as u32 - 1) & !0xfff;
    [low | common, address | ones | size]
}

const fn encode_interrupt_entries(scope: InterruptScope) -> u64 {
    INTERRUPT_ENTRY_CACHE
        | match scope {
            InterruptScope::Global => 0,
            InterruptScope::Entries { index, mask } => {
                one(4) | at(mask as u64 & 0x1f, 27) | at(index as u64, 32)
            }
        }
}
