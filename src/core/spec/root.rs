// SPDX-License-Identifier: GPL-2.0

//! The root entry: one per bus (VT-d 9.1, 9.2).

use super::address::PhysAddr;
use super::bits;
use super::registers::TranslationTableMode;

/// The number of entries in a root table.
pub const ROOT_ENTRIES: usize = 256;

/// One root entry, as the 128 bits that hardware reads (two little-endian words).
///
/// In legacy mode the low word leads to the context table of the bus, and the high word is 0. In
/// scalable mode the low word leads to that of the functions of devices 0 to 15, and the high word
/// to that of the others. Both words have the same layout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct RootEntry {
    low: u64,
    high: u64,
}

impl RootEntry {
    /// An entry that blocks every device of its bus (fault reason 1).
    pub const ABSENT: Self = Self { low: 0, high: 0 };

    /// Creates a legacy-mode entry whose context table is at `table`, or returns `None` if that is
    /// not page aligned.
    pub const fn new(table: PhysAddr) -> Option<Self> {
        match Self::word_for(table) {
            Some(low) => Some(Self { low, high: 0 }),
            None => None,
        }
    }

    /// Returns the word that leads to the context entry of a device and function: 0 for the low one.
    pub const fn word_of(mode: TranslationTableMode, devfn: u8) -> usize {
        match mode {
            TranslationTableMode::Legacy => 0,
            TranslationTableMode::Scalable => (devfn >> 7) as usize,
        }
    }

    /// Returns the word that leads to the context table at `table`, or `None` if that is not page
    /// aligned.
    pub const fn word_for(table: PhysAddr) -> Option<u64> {
        if !table.is_page_aligned() {
            return None;
        }
        Some(table.raw() | 1)
    }

    /// Creates the entry from its words in memory: bits 63:0, then 127:64.
    pub const fn from_words(low: u64, high: u64) -> Self {
        Self { low, high }
    }

    /// Returns the words for memory: bits 63:0, then 127:64.
    pub const fn words(self) -> [u64; 2] {
        [self.low, self.high]
    }

    const fn word(self, mode: TranslationTableMode, devfn: u8) -> u64 {
        match Self::word_of(mode, devfn) {
            0 => self.low,
            _ => self.high,
        }
    }

    /// Returns the context table for a device and function (CTP, LCTP or UCTP), or `None` if there
    /// is none (P, LP or UP).
    pub const fn context_table(self, mode: TranslationTableMode, devfn: u8) -> Option<PhysAddr> {
        let word = self.word(mode, devfn);
        if !bits::bit(word, 0) {
            return None;
        }
        Some(PhysAddr::new(word).page())
    }

    /// Returns the set reserved bits of the word for a device and function, and in legacy mode of
    /// the high word, for a unit with `host_bits` physical address bits. Hardware faults on any of
    /// them (reason 0xa).
    pub const fn reserved_bits(
        self,
        mode: TranslationTableMode,
        devfn: u8,
        host_bits: u32,
    ) -> [u64; 2] {
        let reserved = 0xffe | !bits::low_mask(host_bits);
        let other = match mode {
            TranslationTableMode::Legacy => self.high,
            TranslationTableMode::Scalable => 0,
        };
        [self.word(mode, devfn) & reserved, other]
    }
}
