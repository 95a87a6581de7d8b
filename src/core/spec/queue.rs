// SPDX-License-Identifier: GPL-2.0

//! The ring of the invalidation queue: its slots, and the values of `IQA`, `IQT` and `IQH` (VT-d
//! 6.5.2, 11.4.9).

use super::address::PhysAddr;
use super::bits;

/// DW: the bit of `IQA` for descriptors of 256 bits.
const WIDE: u32 = 11;

/// The width of a descriptor, which is the width of a slot of the queue (`IQA.DW`).
///
/// The numbers are log2 of the bytes in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DescriptorWidth {
    /// 128 bits: legacy mode.
    Bits128 = 4,
    /// 256 bits: scalable mode. Bits 255:128 of every descriptor that
    /// [`Descriptor`](super::descriptor::Descriptor) lists are 0.
    Bits256 = 5,
}

impl DescriptorWidth {
    /// Returns the width of the queue that a value of `IQA` names.
    pub const fn of(iqa: u64) -> Self {
        if bits::bit(iqa, WIDE) {
            Self::Bits256
        } else {
            Self::Bits128
        }
    }

    /// Returns the number of slots in a ring of `bytes` bytes.
    pub const fn slots(self, bytes: u32) -> u32 {
        bytes >> self as u32
    }

    /// Returns the offset of the slot of descriptor `number` from the start of a ring of `bytes`
    /// bytes, a power of two. As a value of `IQT`, it makes that descriptor the first one that
    /// hardware does not fetch.
    #[inline(always)]
    pub const fn offset(self, number: u32, bytes: u32) -> u32 {
        // A mask that is a constant: the slots of both widths begin at multiples of the narrow one.
        number << self as u32 & (bytes - 1) & !0xf
    }

    /// Returns the slot that a value of `IQH` or `IQT` names.
    pub const fn slot(self, register: u64) -> u32 {
        bits::field(register, 18, self as u32) as u32
    }

    /// Returns the value of `IQA` for a queue of `2^order` pages at `queue`, or `None` if the queue
    /// is not page aligned or `order` is above 7.
    pub const fn address(self, queue: PhysAddr, order: u32) -> Option<u64> {
        if !queue.is_page_aligned() || order > 7 {
            return None;
        }
        let wide = bits::flag(matches!(self, Self::Bits256), WIDE);
        Some(queue.raw() | wide | order as u64)
    }
}
