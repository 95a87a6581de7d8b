// SPDX-License-Identifier: GPL-2.0

//! The legacy-mode root entry: one per bus (VT-d 9.1).

use super::address::PhysAddr;
use super::bits;

/// The number of entries in a root table.
pub const ROOT_ENTRIES: usize = 256;

/// One root entry, as the 128 bits that hardware reads (two little-endian words).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct RootEntry {
    low: u64,
    high: u64,
}

impl RootEntry {
    /// An entry that blocks every device of its bus (fault reason 1).
    pub const ABSENT: Self = Self { low: 0, high: 0 };

    /// Creates an entry whose context table is at `table`, or returns `None` if that is not page
    /// aligned.
    pub const fn new(table: PhysAddr) -> Option<Self> {
        if !table.is_page_aligned() {
            return None;
        }
        Some(Self {
            low: table.raw() | 1,
            high: 0,
        })
    }

    /// Creates the entry from its words in memory: bits 63:0, then 127:64.
    pub const fn from_words(low: u64, high: u64) -> Self {
        Self { low, high }
    }

    /// Returns the words for memory: bits 63:0, then 127:64.
    pub const fn words(self) -> [u64; 2] {
        [self.low, self.high]
    }

    /// Returns whether the bus has a context table (P).
    pub const fn is_present(self) -> bool {
        bits::bit(self.low, 0)
    }

    /// Returns the bus's context table (CTP), or `None` if the entry is absent.
    pub const fn context_table(self) -> Option<PhysAddr> {
        if !self.is_present() {
            return None;
        }
        Some(PhysAddr::new(self.low).page())
    }

    /// Returns the set reserved bits of the low and the high word, for a unit with `host_bits`
    /// physical address bits. Hardware faults on any of them (reason 0xa).
    pub const fn reserved_bits(self, host_bits: u32) -> [u64; 2] {
        [self.low & (0xffe | !bits::low_mask(host_bits)), self.high]
    }
}
