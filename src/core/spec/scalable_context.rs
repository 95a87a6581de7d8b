// SPDX-License-Identifier: GPL-2.0

//! The scalable-mode context entry: one per device and function (VT-d 9.4).

use super::address::{Pasid, PhysAddr};
use super::bits;

/// The number of entries in a scalable-mode context table: half a bus.
pub const SCALABLE_CONTEXT_ENTRIES: usize = 128;

/// The number of words in an entry.
pub const SCALABLE_CONTEXT_WORDS: usize = 4;

/// One scalable-mode context entry, as the 256 bits that hardware reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct ScalableContextEntry([u64; SCALABLE_CONTEXT_WORDS]);

impl ScalableContextEntry {
    /// An entry that blocks its device (fault reason 0x41).
    pub const ABSENT: Self = Self([0; SCALABLE_CONTEXT_WORDS]);

    /// Creates an entry whose PASID directory is the page at `directory`, or returns `None` if that
    /// is not page aligned.
    ///
    /// A directory of one page has 512 entries: PASIDs below 32768. Requests with PASID and page
    /// requests are refused, and so are those of a device-TLB.
    pub const fn new(directory: PhysAddr) -> Option<Self> {
        // PDTS: 2^(2 + 7) entries.
        const ONE_PAGE: u64 = 2;
        if !directory.is_page_aligned() {
            return None;
        }
        let low = directory.raw() | bits::at(ONE_PAGE, 9) | 1;
        Some(Self([low, Pasid::RID_PASID.raw() as u64, 0, 0]))
    }

    /// Creates the entry from its words in memory, the lowest bits first.
    pub const fn from_words(words: [u64; SCALABLE_CONTEXT_WORDS]) -> Self {
        Self(words)
    }

    /// Returns the words for memory, the lowest bits first.
    pub const fn words(self) -> [u64; SCALABLE_CONTEXT_WORDS] {
        self.0
    }

    /// Returns this entry with FPD set or clear: whether faults are not recorded.
    pub const fn with_fault_processing_disabled(self, disabled: bool) -> Self {
        let [low, second, third, fourth] = self.0;
        let low = low & !bits::one(1) | bits::flag(disabled, 1);
        Self([low, second, third, fourth])
    }

    /// Returns this entry with DTE set or clear: whether translated requests and requests for
    /// translations are allowed (`ECAP.DT`).
    pub const fn with_device_tlb(self, allowed: bool) -> Self {
        let [low, second, third, fourth] = self.0;
        let low = low & !bits::one(2) | bits::flag(allowed, 2);
        Self([low, second, third, fourth])
    }

    /// Returns whether translated requests and requests for translations are allowed (DTE).
    pub const fn device_tlb(self) -> bool {
        let [low, ..] = self.0;
        bits::bit(low, 2)
    }

    /// Returns whether the device has a PASID table (P).
    pub const fn is_present(self) -> bool {
        let [low, ..] = self.0;
        bits::bit(low, 0)
    }

    /// Returns whether faults are not recorded (FPD). Hardware uses this bit also in an entry that
    /// is not present.
    pub const fn fault_processing_disabled(self) -> bool {
        let [low, ..] = self.0;
        bits::bit(low, 1)
    }

    /// Returns the PASID directory (PASIDDIRPTR).
    pub const fn directory(self) -> PhysAddr {
        let [low, ..] = self.0;
        PhysAddr::new(low).page()
    }

    /// Returns the number of entries in the directory (PDTS).
    pub const fn directory_entries(self) -> u32 {
        let [low, ..] = self.0;
        1 << (7 + bits::field(low, 11, 9) as u32)
    }

    /// Returns the PASID of requests without one (RID_PASID).
    pub const fn rid_pasid(self) -> Pasid {
        let [_, second, ..] = self.0;
        Pasid::from_field(second, 0)
    }

    /// Returns the set reserved bits of each word, for a unit with `host_bits` physical address
    /// bits. Hardware faults on any of them in a present entry (reason 0x42).
    pub const fn reserved_bits(self, host_bits: u32) -> [u64; SCALABLE_CONTEXT_WORDS] {
        let [low, second, third, fourth] = self.0;
        [
            low & (0x1e0 | !bits::low_mask(host_bits)),
            second & !bits::low_mask(21),
            third,
            fourth,
        ]
    }
}
