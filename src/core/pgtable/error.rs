// SPDX-License-Identifier: GPL-2.0

//! The errors of a map, and the result of an unmap.

use crate::spec::address::{Iova, PhysAddr};
use core::fmt;

/// The reason why a range was not mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// An address or the length is not a multiple of 4 KiB (-EINVAL).
    Unaligned {
        /// The requested start.
        iova: Iova,
        /// The start of the memory.
        paddr: PhysAddr,
        /// The length in bytes.
        len: u64,
    },
    /// The length is 0 (-EINVAL).
    Empty,
    /// The range does not end within the aperture (-ERANGE).
    OutsideAperture {
        /// The requested start.
        iova: Iova,
        /// The length in bytes.
        len: u64,
        /// The highest address that can be mapped.
        last: Iova,
    },
    /// The memory does not end within the host's physical addresses (-ERANGE).
    OutsideMemory {
        /// The start of the memory.
        paddr: PhysAddr,
        /// The length in bytes.
        len: u64,
        /// The highest physical address that an entry may hold.
        last: PhysAddr,
    },
    /// The request demands snooping, and the unit has no snoop control (-EINVAL).
    NoSnoopControl,
    /// A part of the range is mapped already (-EADDRINUSE).
    AddressInUse {
        /// The first address in the range that is mapped.
        iova: Iova,
    },
    /// No page was available for a table (-ENOMEM).
    OutOfMemory,
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Unaligned { iova, paddr, len } => write!(
                f,
                "cannot map {len:#x} bytes at IOVA {iova} to {paddr}: \
                 addresses and length must be multiples of 0x1000"
            ),
            Self::Empty => f.write_str("cannot map a range of 0 bytes: give a length"),
            Self::OutsideAperture { iova, len, last } => write!(
                f,
                "cannot map {len:#x} bytes at IOVA {iova}: the domain's last address is {last}"
            ),
            Self::OutsideMemory { paddr, len, last } => write!(
                f,
                "cannot map {len:#x} bytes of memory at {paddr}: \
                 the last physical address is {last}"
            ),
            Self::NoSnoopControl => f.write_str(
                "cannot map with forced snooping: the unit has no snoop control (ECAP.SC); \
                 map without it",
            ),
            Self::AddressInUse { iova } => {
                write!(f, "IOVA {iova} is mapped already: unmap it first")
            }
            Self::OutOfMemory => {
                f.write_str("no memory for a page table: free some, or map fewer addresses")
            }
        }
    }
}

/// A failed map. The table maps exactly what it mapped before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapFailed {
    /// The reason.
    pub error: MapError,

    /// The number of bytes from the start of the range that were mapped for a moment and are
    /// cleared again. If it is not 0, hardware may have cached them: invalidate the range before
    /// the memory is used for anything else and before retired tables are freed.
    pub undone: u64,
}

impl MapFailed {
    /// Creates the error of a request that was refused before anything was written.
    pub(super) const fn untouched(error: MapError) -> Self {
        Self { error, undone: 0 }
    }
}

impl fmt::Display for MapFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

/// The result of an unmap: the first `bytes` bytes of the range are no longer mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "what was unmapped must be invalidated"]
pub struct Unmapped {
    /// The number of bytes that were unmapped. It is more than requested if the range ended inside
    /// a large page, which is removed as a whole.
    pub bytes: u64,

    /// The reason why the unmap stopped before the end of the range, if it did.
    pub stop: Option<UnmapStop>,
}

/// The reason why an unmap stopped before the end of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnmapStop {
    /// The next address is not mapped.
    Hole,
    /// The range starts within a large page, not at its start. Nothing was unmapped.
    InsideLeaf,
    /// The start or the length is not a multiple of 4 KiB. Nothing was unmapped.
    Unaligned,
    /// The range is empty or does not end within the aperture. Nothing was unmapped.
    OutsideAperture,
}

impl fmt::Display for UnmapStop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hole => "the address is not mapped",
            Self::InsideLeaf => "the range starts inside a large page, which cannot be split",
            Self::Unaligned => "start and length must be multiples of 0x1000",
            Self::OutsideAperture => "the range is empty or ends outside the aperture",
        })
    }
}
