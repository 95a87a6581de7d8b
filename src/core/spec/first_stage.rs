// SPDX-License-Identifier: GPL-2.0

//! The entry of a first-stage table (VT-d 3.6, 9.7): the format of the processor's own tables.

use super::address::PhysAddr;
use super::bits;
use super::level::{Level, PageSize};
use super::pte::{self, Access, DecodedEntry, Entry};

/// Bit 0: present, and readable.
const PRESENT: u64 = 1 << 0;
/// Bit 1: writes allowed.
const WRITE: u64 = 1 << 1;
/// Bit 2: requests without supervisor privilege allowed.
const USER: u64 = 1 << 2;
/// Bit 5: accessed.
const ACCESSED: u64 = 1 << 5;
/// Bit 6: dirty; leaves only.
const DIRTY: u64 = 1 << 6;
/// Bit 7: a leaf above level 1.
const PAGE_SIZE: u64 = 1 << 7;
/// Bit 63: execute disable.
const EXECUTE_DISABLE: u64 = 1 << 63;

/// One first-stage entry, as the 64 bits that hardware reads (little-endian).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct FirstStageEntry(u64);

impl FirstStageEntry {
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
    /// A first stage cannot allow writes without reads: [`Access::Write`] allows both. The accessed
    /// and dirty flags are set, so that hardware does not write to the entry. Returns `None` if
    /// `address` is not a multiple of the size or has bits above 51.
    #[inline]
    pub const fn leaf(address: PhysAddr, size: PageSize, access: Access) -> Option<Self> {
        let write = if access.writes() { WRITE | DIRTY } else { 0 };
        match pte::page_bits(address, size) {
            Some(page) => Some(Self(page | write | PRESENT | USER | ACCESSED)),
            None => None,
        }
    }

    /// Creates a link to the table of the level below at `address`.
    ///
    /// It permits everything; only leaves restrict access. Returns `None` if `address` is not page
    /// aligned or has bits above 51.
    #[inline]
    pub const fn table(address: PhysAddr) -> Option<Self> {
        match pte::page_bits(address, PageSize::Size4K) {
            Some(table) => Some(Self(table | PRESENT | WRITE | USER | ACCESSED)),
            None => None,
        }
    }

    /// Returns whether the entry is present.
    pub const fn is_present(self) -> bool {
        self.0 & PRESENT != 0
    }

    /// Returns whether a present entry at `level` maps a page rather than linking to a table.
    pub const fn is_leaf(self, level: Level) -> bool {
        pte::is_leaf(self.0, level)
    }

    /// Returns the address field of any entry.
    pub const fn address(self) -> PhysAddr {
        Entry::from_raw(self.0).address()
    }

    /// Returns the accesses, or `None` if the entry is not present.
    pub const fn access(self) -> Option<Access> {
        Access::new(self.is_present(), self.is_present() && self.0 & WRITE != 0)
    }

    /// Returns whether requests without supervisor privilege are allowed (U/S).
    pub const fn permits_user(self) -> bool {
        self.0 & USER != 0
    }

    /// Returns whether requests for execution are refused (XD).
    pub const fn refuses_execution(self) -> bool {
        self.0 & EXECUTE_DISABLE != 0
    }

    /// Returns the accessed flag.
    pub const fn is_accessed(self) -> bool {
        self.0 & ACCESSED != 0
    }

    /// Returns the dirty flag.
    pub const fn is_dirty(self) -> bool {
        self.0 & DIRTY != 0
    }

    /// Returns the entry's meaning at `level`. Whether accesses snoop is no business of the entry.
    pub const fn decode(self, level: Level) -> DecodedEntry {
        let Some(access) = self.access() else {
            return DecodedEntry::Absent;
        };
        if self.is_leaf(level) {
            if let Some(size) = level.page_size() {
                return DecodedEntry::Leaf {
                    address: PhysAddr::new(self.address().raw() & !bits::low_mask(size.shift())),
                    size,
                    access,
                    snoop: false,
                };
            }
        }
        DecodedEntry::Table {
            address: self.address(),
            access,
        }
    }

    /// Returns the set bits on which a unit would fault (reason 0x72), or 0 if there are none.
    ///
    /// The unit has `host_bits` physical address bits. An entry that is not present has no reserved
    /// bits. Execute disable counts as reserved, because this driver never enables it.
    pub const fn reserved_bits(self, level: Level, host_bits: u32) -> u64 {
        if !self.is_present() {
            return 0;
        }
        let address = self.address();
        let mut reserved = EXECUTE_DISABLE | (address.raw() & !bits::low_mask(host_bits));
        if matches!(level, Level::L4 | Level::L5) {
            reserved |= PAGE_SIZE;
        } else if self.is_leaf(level) && !matches!(level, Level::L1) {
            // Bit 12 of a large page is an attribute (PAT), which is ignored.
            reserved |= bits::low_mask(level.page_shift()) & !bits::low_mask(13);
        }
        self.0 & reserved
    }
}
