// SPDX-License-Identifier: GPL-2.0

//! The legacy-mode context entry: one per device and function (VT-d 9.3).

use super::address::{DomainId, PhysAddr};
use super::bits;
use super::level::AddressWidth;

/// The number of entries in a context table.
pub const CONTEXT_ENTRIES: usize = 256;

/// TT: how requests of the device are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TranslationType {
    /// 00: untranslated requests walk the table; others are blocked.
    Translate,
    /// 01: as 00, and translated and translation requests of a device-TLB are allowed
    /// (`ECAP.DT`).
    TranslateWithDeviceTlb,
    /// 10: untranslated requests pass with their address unchanged (`ECAP.PT`).
    PassThrough,
    /// 11: reserved.
    Reserved,
}

impl TranslationType {
    const fn code(self) -> u64 {
        match self {
            Self::Translate => 0,
            Self::TranslateWithDeviceTlb => 1,
            Self::PassThrough => 2,
            Self::Reserved => 3,
        }
    }

    const fn from_code(code: u64) -> Self {
        match code {
            0 => Self::Translate,
            1 => Self::TranslateWithDeviceTlb,
            2 => Self::PassThrough,
            _ => Self::Reserved,
        }
    }
}

/// One context entry, as the 128 bits that hardware reads (two little-endian words).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct ContextEntry {
    low: u64,
    high: u64,
}

impl ContextEntry {
    /// An entry that blocks its device (fault reason 2).
    pub const ABSENT: Self = Self { low: 0, high: 0 };

    /// Creates an entry that translates through the second-stage table at `table`.
    ///
    /// `CAP.SAGAW` must have `width`. Returns `None` if `table` is not page aligned.
    pub const fn translating(
        table: PhysAddr,
        width: AddressWidth,
        domain: DomainId,
        device_tlb: bool,
    ) -> Option<Self> {
        if !table.is_page_aligned() {
            return None;
        }
        let kind = if device_tlb {
            TranslationType::TranslateWithDeviceTlb
        } else {
            TranslationType::Translate
        };
        Some(Self::build(table.raw(), kind, width, domain))
    }

    /// Creates an entry that lets requests pass with their address unchanged; the unit must have
    /// `ECAP.PT`.
    ///
    /// `widest` must be the widest table that the unit supports: hardware demands it although it
    /// walks no table.
    pub const fn pass_through(widest: AddressWidth, domain: DomainId) -> Self {
        Self::build(0, TranslationType::PassThrough, widest, domain)
    }

    const fn build(
        pointer: u64,
        kind: TranslationType,
        width: AddressWidth,
        domain: DomainId,
    ) -> Self {
        Self {
            low: pointer | bits::at(kind.code(), 2) | 1,
            high: bits::at(domain.raw() as u64, 8) | width.code() as u64,
        }
    }

    /// Returns this entry with FPD set: faults are not recorded.
    pub const fn with_fault_processing_disabled(self) -> Self {
        Self {
            low: self.low | bits::one(1),
            high: self.high,
        }
    }

    /// Returns this entry with P and FPD clear.
    ///
    /// A store of the low word is enough to change the entry in memory to this one, and hardware
    /// that has read that word before finds the other word unchanged.
    pub const fn withdrawn(self) -> Self {
        Self {
            low: self.low & !0b11,
            high: self.high,
        }
    }

    /// Creates the entry from its words in memory: bits 63:0, then 127:64.
    pub const fn from_words(low: u64, high: u64) -> Self {
        Self { low, high }
    }

    /// Returns the words for memory: bits 63:0, then 127:64.
    ///
    /// Hardware reads the high word only if bit 0 of the low word is set. So software writes the
    /// high word first to make an entry present, and the low word first to make it not present.
    pub const fn words(self) -> [u64; 2] {
        [self.low, self.high]
    }

    /// Returns whether the device is translated at all (P).
    pub const fn is_present(self) -> bool {
        bits::bit(self.low, 0)
    }

    /// Returns whether faults are not recorded (FPD). Hardware uses this bit also in an entry that
    /// is not present.
    pub const fn fault_processing_disabled(self) -> bool {
        bits::bit(self.low, 1)
    }

    /// Returns how requests are treated, if the entry is present (TT).
    pub const fn translation_type(self) -> TranslationType {
        TranslationType::from_code(bits::field(self.low, 3, 2))
    }

    /// Returns the second-stage table (SSPTPTR). Meaningless for pass-through.
    pub const fn table(self) -> PhysAddr {
        PhysAddr::new(self.low).page()
    }

    /// Returns the table's width (AW), or `None` for a reserved code.
    pub const fn width(self) -> Option<AddressWidth> {
        AddressWidth::from_code(bits::field(self.high, 2, 0) as u8)
    }

    /// Returns the domain-id with which hardware tags what it caches for the device (DID).
    pub const fn domain(self) -> DomainId {
        DomainId::new(bits::field(self.high, 23, 8) as u16)
    }

    /// Returns the set reserved bits of the low and the high word, for a unit with `host_bits`
    /// physical address bits. Hardware faults on any of them in a present entry (reason 0xb).
    pub const fn reserved_bits(self, host_bits: u32) -> [u64; 2] {
        [
            self.low & (0xff0 | !bits::low_mask(host_bits)),
            self.high & 0xffff_ffff_ff00_0080,
        ]
    }
}
