// SPDX-License-Identifier: GPL-2.0

//! The entry of a second-stage table (VT-d 9.8; generic_pt's `vtdss.h`).

use super::address::PhysAddr;
use super::bits;
use super::level::{Level, PageSize};

/// Bit 0: reads allowed.
const READ: u64 = 1 << 0;
/// Bit 1: writes allowed.
const WRITE: u64 = 1 << 1;
/// Bit 7: a leaf above level 1.
const PAGE_SIZE: u64 = 1 << 7;
/// Bit 8: accessed.
const ACCESSED: u64 = 1 << 8;
/// Bit 9: dirty.
const DIRTY: u64 = 1 << 9;
/// Bit 11: accesses snoop processor caches.
const SNOOP: u64 = 1 << 11;
/// Bits 51:12: the page or the next table.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// Bits 63 and 61:52, which hardware ignores (VT-d 9.8), without bit 62 (TM).
const IGNORED_HIGH: u64 = 0xbff0_0000_0000_0000;

/// The accesses that a device may make to a page; at least one. The numbers are the bits of the
/// entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Access {
    /// The device may read.
    Read = READ as u8,
    /// The device may write.
    Write = WRITE as u8,
    /// The device may do both.
    ReadWrite = (READ | WRITE) as u8,
}

impl Access {
    /// Returns the access for the two permissions, or `None` if neither is given.
    #[inline(always)]
    pub const fn new(read: bool, write: bool) -> Option<Self> {
        // Uses the bits of the entry, so that the compiler removes this where the input is bits.
        match read as u64 * READ | write as u64 * WRITE {
            READ => Some(Self::Read),
            WRITE => Some(Self::Write),
            0 => None,
            _ => Some(Self::ReadWrite),
        }
    }

    /// Returns whether all of `wanted` is allowed.
    pub const fn permits(self, wanted: Self) -> bool {
        self as u8 & wanted as u8 == wanted as u8
    }

    /// Returns whether reads are allowed.
    pub const fn reads(self) -> bool {
        matches!(self, Self::Read | Self::ReadWrite)
    }

    /// Returns whether writes are allowed.
    pub const fn writes(self) -> bool {
        matches!(self, Self::Write | Self::ReadWrite)
    }

    #[inline(always)]
    const fn entry_bits(self) -> u64 {
        self as u64
    }
}

/// The meaning of an entry at its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodedEntry {
    /// Not present: neither readable nor writable, so requests fault.
    Absent,
    /// A page.
    Leaf {
        /// The page's first byte.
        address: PhysAddr,
        /// Its size.
        size: PageSize,
        /// The accesses that the device may make.
        access: Access,
        /// Whether accesses snoop processor caches.
        snoop: bool,
    },
    /// A table of the level below.
    Table {
        /// The table.
        address: PhysAddr,
        /// The upper bound of the accesses that entries below can allow.
        access: Access,
    },
}

/// Returns the bits of an entry that name the page of `size` at `address`, or `None` if the address
/// is not a multiple of the size or has bits above 51. They are the same in all formats.
#[inline]
pub(super) const fn page_bits(address: PhysAddr, size: PageSize) -> Option<u64> {
    let raw = address.raw();
    if !address.is_aligned(size.shift()) || raw & !ADDRESS != 0 {
        return None;
    }
    match size {
        PageSize::Size4K => Some(raw),
        PageSize::Size2M | PageSize::Size1G => Some(raw | PAGE_SIZE),
    }
}

/// Returns whether a present entry at `level` maps a page, in all formats.
pub(super) const fn is_leaf(raw: u64, level: Level) -> bool {
    match level {
        Level::L1 => true,
        Level::L2 | Level::L3 => raw & PAGE_SIZE != 0,
        Level::L4 | Level::L5 => false,
    }
}

/// One second-stage entry, as the 64 bits that hardware reads (little-endian).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Entry(u64);

impl Entry {
    /// An entry that blocks requests.
    pub const ABSENT: Self = Self(0);

    /// Creates the entry from its 64 bits in memory.
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// Returns the 64 bits for memory.
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// Creates a leaf that maps the page of `size` at `address`.
    ///
    /// `snoop` may be true only if the unit has snoop control (`ECAP.SC`); the bit is reserved on
    /// other units. Returns `None` if `address` is not a multiple of the size or has bits above 51.
    #[inline]
    pub const fn leaf(
        address: PhysAddr,
        size: PageSize,
        access: Access,
        snoop: bool,
    ) -> Option<Self> {
        match page_bits(address, size) {
            Some(page) => Some(Self(page | access.entry_bits() | bits::flag(snoop, 11))),
            None => None,
        }
    }

    /// Creates a link to the table of the level below at `address`.
    ///
    /// It permits reads and writes; only leaves restrict access. Returns `None` if `address` is not
    /// page aligned or has bits above 51.
    #[inline]
    pub const fn table(address: PhysAddr) -> Option<Self> {
        match page_bits(address, PageSize::Size4K) {
            Some(table) => Some(Self(table | READ | WRITE)),
            None => None,
        }
    }

    /// Returns whether the entry is present (VT-d 3.7: an entry with R and W clear is not present).
    pub const fn is_present(self) -> bool {
        self.0 & (READ | WRITE) != 0
    }

    /// Returns whether a present entry at `level` maps a page rather than linking to a table.
    pub const fn is_leaf(self, level: Level) -> bool {
        is_leaf(self.0, level)
    }

    /// Returns the address field of any entry.
    ///
    /// For a large leaf without reserved bits set, this is the page's first byte.
    pub const fn address(self) -> PhysAddr {
        PhysAddr::new(self.0 & ADDRESS)
    }

    /// Returns the permissions, or `None` if the entry is absent.
    pub const fn access(self) -> Option<Access> {
        Access::new(self.0 & READ != 0, self.0 & WRITE != 0)
    }

    /// Returns whether a leaf's accesses snoop processor caches.
    pub const fn snoops(self) -> bool {
        self.0 & SNOOP != 0
    }

    /// Returns whether hardware has set the accessed flag (only where these flags are enabled).
    pub const fn is_accessed(self) -> bool {
        self.0 & ACCESSED != 0
    }

    /// Returns whether hardware has set the dirty flag (only where these flags are enabled).
    pub const fn is_dirty(self) -> bool {
        self.0 & DIRTY != 0
    }

    /// Returns the entry's meaning at `level`.
    pub const fn decode(self, level: Level) -> DecodedEntry {
        let Some(access) = self.access() else {
            return DecodedEntry::Absent;
        };
        if self.is_leaf(level) {
            if let Some(size) = level.page_size() {
                return DecodedEntry::Leaf {
                    address: PhysAddr::new(self.0 & ADDRESS & !bits::low_mask(size.shift())),
                    size,
                    access,
                    snoop: self.snoops(),
                };
            }
        }
        DecodedEntry::Table {
            address: self.address(),
            access,
        }
    }

    /// Returns the set bits on which a unit would fault (reason 0xc), or 0 if there are none.
    ///
    /// The unit has `host_bits` physical address bits, and `ECAP.SC` if `snoop_control` is true. An
    /// entry that is not present has no reserved bits. Transient mapping (bit 62) counts as
    /// reserved, because this driver never sets it.
    pub const fn reserved_bits(self, level: Level, host_bits: u32, snoop_control: bool) -> u64 {
        if !self.is_present() {
            return 0;
        }
        let leaf = self.is_leaf(level);
        let mut allowed = (ADDRESS & bits::low_mask(host_bits)) | READ | WRITE | IGNORED_HIGH;
        // Execute, memory type and the flags: ignored in legacy mode (VT-d 9.8).
        allowed |= bits::low_mask(11) & !PAGE_SIZE;
        if leaf && !matches!(level, Level::L1) {
            allowed |= PAGE_SIZE;
            allowed &= !(bits::low_mask(level.page_shift()) & ADDRESS);
        } else if !matches!(level, Level::L4 | Level::L5) {
            allowed |= PAGE_SIZE;
        }
        if leaf && snoop_control {
            allowed |= SNOOP;
        }
        self.0 & !allowed
    }
}
