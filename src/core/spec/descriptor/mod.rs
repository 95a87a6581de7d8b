// SPDX-License-Identifier: GPL-2.0

//! Descriptors of the invalidation queue (VT-d 6.5.2).
//!
//! All descriptors are encoded here. Each has at most 128 bits: in a queue of 256-bit slots (see
//! [`DescriptorWidth`](super::queue::DescriptorWidth)) the others are 0. Decoding serves error
//! reports (which descriptor did hardware refuse?) and tests.

mod decode;
mod encode;

pub use encode::InvalidationEncoder;

use super::address::PhysAddr;
use super::invalidation::Invalidation;
use super::scope::Drain;
use core::fmt;

// The types (bits 11:9 and 3:0).
const CONTEXT_CACHE: u64 = 1;
const IOTLB: u64 = 2;
const DEVICE_TLB: u64 = 3;
const INTERRUPT_ENTRY_CACHE: u64 = 4;
const WAIT: u64 = 5;
const PASID_IOTLB: u64 = 6;
const PASID_CACHE: u64 = 7;
const PASID_DEVICE_TLB: u64 = 8;

/// One descriptor of the invalidation queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Descriptor {
    /// Invalidate. Only IOTLB invalidations without PASID say what they drain, the others have
    /// [`Drain::NONE`].
    Invalidate(Invalidation, Drain),
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

/// The reason why the bits of a slot are not a valid descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadDescriptor {
    /// No descriptor of this queue has this type.
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
}

impl fmt::Display for BadDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type(kind) => write!(f, "no descriptor of this queue has type {kind:#x}"),
            Self::Field(kind) => {
                write!(f, "descriptor of type {kind:#x} holds a reserved value")
            }
        }
    }
}
