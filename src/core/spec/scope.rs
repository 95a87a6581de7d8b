// SPDX-License-Identifier: GPL-2.0

//! The scope of an invalidation: the granularities of VT-d 6.5, which the queue and the
//! register-based interface share.

use super::address::{DomainId, Iova, SourceId, PAGE_SHIFT, PAGE_SIZE};
use super::bits;
use super::capability::Capability;
use core::fmt;

/// The largest address mask that the field of an IOTLB invalidation can hold
/// without covering more than the 64-bit address space.
pub const MAX_ADDRESS_MASK: u8 = 52;

/// A naturally aligned block of `2^mask` pages: the unit of page-selective invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageBlock {
    address: Iova,
    mask: u8,
}

impl PageBlock {
    /// All pages.
    pub const ALL: Self = Self {
        address: Iova::new(0),
        mask: MAX_ADDRESS_MASK,
    };

    /// Creates the block of `2^mask` pages at `address`.
    ///
    /// Returns `None` if `address` is not a multiple of the block's size (hardware would invalidate
    /// another range) or `mask` is above [`MAX_ADDRESS_MASK`].
    pub const fn new(address: Iova, mask: u8) -> Option<Self> {
        if mask > MAX_ADDRESS_MASK || !address.is_aligned(PAGE_SHIFT + mask as u32) {
            return None;
        }
        Some(Self { address, mask })
    }

    /// Returns the smallest block that covers `first..=last`, or `None` if `last` is below `first`.
    #[inline]
    pub const fn covering(first: Iova, last: Iova) -> Option<Self> {
        if last.raw() < first.raw() {
            return None;
        }
        // The bits of the page offset count as different.
        let same = ((first.raw() ^ last.raw()) | (PAGE_SIZE - 1)).leading_zeros();
        // At most 64 - 12 = 52 for both, so that neither can be out of range.
        let mask = u64::BITS - PAGE_SHIFT - same;
        let base = first.raw() & !(u64::MAX >> same);
        Some(Self {
            address: Iova::new(base),
            mask: mask as u8,
        })
    }

    /// Returns the first byte.
    #[inline]
    pub const fn address(self) -> Iova {
        self.address
    }

    /// Returns log2 of the number of pages (AM).
    #[inline]
    pub const fn address_mask(self) -> u8 {
        self.mask
    }

    /// Returns the address operand of an invalidation: address, IH and AM.
    #[inline(always)]
    pub(super) const fn operand(self, leaves_only: bool) -> u64 {
        self.address.raw() | ((leaves_only as u64) << 6) | self.mask as u64
    }

    /// Returns the last byte.
    pub const fn last(self) -> Iova {
        Iova::new(self.address.raw() | bits::low_mask(PAGE_SHIFT + self.mask as u32))
    }
}

impl fmt::Display for PageBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}..={:#x}", self.address, self.last())
    }
}

/// FM: how many low bits of the function number a device-selective context-cache
/// invalidation ignores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct FunctionMask(u8);

impl FunctionMask {
    /// The exact source-id.
    pub const EXACT: Self = Self(0);
    /// Every function of the source-id's device.
    pub const ALL_FUNCTIONS: Self = Self(3);

    /// Creates a mask that ignores `bits` bits, or returns `None` above 3.
    pub const fn new(bits: u8) -> Option<Self> {
        if bits > 3 {
            return None;
        }
        Some(Self(bits))
    }

    /// Returns the number of ignored bits.
    pub const fn raw(self) -> u8 {
        self.0
    }
}

/// The scope of a context-cache invalidation (VT-d 6.5.1.1, 6.5.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContextScope {
    /// Everything.
    Global,
    /// The entries tagged with a domain-id.
    Domain(DomainId),
    /// The entries of one device.
    Device {
        /// The domain-id that the *cached* entry was tagged with.
        domain: DomainId,
        /// The device.
        source: SourceId,
        /// Which functions of it.
        functions: FunctionMask,
    },
}

/// The scope of an IOTLB invalidation (VT-d 6.5.1.2, 6.5.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IotlbScope {
    /// Everything.
    Global,
    /// The translations tagged with a domain-id.
    Domain(DomainId),
    /// The translations of a block of pages tagged with a domain-id; only if
    /// `CAP.PSI`, with an address mask of at most `CAP.MAMV`.
    Pages {
        /// The tag.
        domain: DomainId,
        /// The pages.
        block: PageBlock,
        /// IH: no table was freed or replaced, so cached non-leaf entries may stay.
        leaves_only: bool,
    },
}

/// The granularity that hardware performed: it may invalidate more than requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Granularity {
    /// Everything.
    Global,
    /// One domain-id.
    Domain,
    /// One device or one block of pages.
    Selective,
}

impl Granularity {
    /// Returns the two-bit code, which all forms of both invalidations share.
    pub const fn code(self) -> u64 {
        match self {
            Self::Global => 1,
            Self::Domain => 2,
            Self::Selective => 3,
        }
    }

    /// Returns the granularity with this code, or `None` for 0: not performed.
    pub const fn from_code(code: u64) -> Option<Self> {
        match code {
            1 => Some(Self::Global),
            2 => Some(Self::Domain),
            3 => Some(Self::Selective),
            _ => None,
        }
    }
}

impl ContextScope {
    /// Returns the scope's granularity.
    pub const fn granularity(self) -> Granularity {
        match self {
            Self::Global => Granularity::Global,
            Self::Domain(_) => Granularity::Domain,
            Self::Device { .. } => Granularity::Selective,
        }
    }
}

impl IotlbScope {
    /// Returns the scope's granularity.
    pub const fn granularity(self) -> Granularity {
        match self {
            Self::Global => Granularity::Global,
            Self::Domain(_) => Granularity::Domain,
            Self::Pages { .. } => Granularity::Selective,
        }
    }
}

/// Whether an IOTLB invalidation waits for requests in flight (VT-d 6.5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Drain {
    /// DR: reads that were translated before have returned.
    pub reads: bool,
    /// DW: writes that were translated before have reached memory.
    pub writes: bool,
}

impl Drain {
    /// Waits for no requests.
    pub const NONE: Self = Self {
        reads: false,
        writes: false,
    };

    /// Returns all that the unit can drain, which strict invalidation must request.
    pub const fn of(cap: Capability) -> Self {
        Self {
            reads: cap.drains_reads(),
            writes: cap.drains_writes(),
        }
    }
}
