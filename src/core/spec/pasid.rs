// SPDX-License-Identifier: GPL-2.0

//! The PASID table of a requester: a directory, whose entries lead to tables (VT-d 9.5, 9.6).

use super::address::{DomainId, Pasid, PhysAddr};
use super::bits;
use super::level::AddressWidth;

/// log2 of the number of entries in one table.
const TABLE_BITS: u32 = 6;

/// The number of words in a PASID entry.
pub const PASID_ENTRY_WORDS: usize = 8;

/// The place of the entry of one PASID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasidIndex {
    /// The index of the directory entry.
    pub directory: usize,
    /// The index of the entry in the table.
    pub table: usize,
}

impl PasidIndex {
    /// Returns the place of the entry of `pasid`.
    pub const fn of(pasid: Pasid) -> Self {
        let raw = pasid.raw();
        Self {
            directory: (raw >> TABLE_BITS) as usize,
            table: (raw & ((1 << TABLE_BITS) - 1)) as usize,
        }
    }
}

/// One entry of a PASID directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct PasidDirectoryEntry(u64);

impl PasidDirectoryEntry {
    /// Creates an entry whose table is at `table`, or returns `None` if that is not page aligned.
    pub const fn new(table: PhysAddr) -> Option<Self> {
        if !table.is_page_aligned() {
            return None;
        }
        Some(Self(table.raw() | 1))
    }

    /// Creates the entry from its word in memory.
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// Returns the word for memory.
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// Returns the PASID table (SMPTBLPTR), or `None` if the entry is not present (P).
    pub const fn table(self) -> Option<PhysAddr> {
        if !bits::bit(self.0, 0) {
            return None;
        }
        Some(PhysAddr::new(self.0).page())
    }

    /// Returns the set reserved bits, for a unit with `host_bits` physical address bits. Hardware
    /// faults on any of them in a present entry (reason 0x52).
    pub const fn reserved_bits(self, host_bits: u32) -> u64 {
        self.0 & (0xffc | !bits::low_mask(host_bits))
    }
}

/// PGTT: what translates requests with a PASID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PasidTranslation {
    /// 001: the first stage.
    FirstStage,
    /// 010: the second stage.
    SecondStage,
    /// 011: the first stage, whose addresses the second stage translates.
    Nested,
    /// 100: nothing; requests pass with their address unchanged (`ECAP.PT`).
    PassThrough,
    /// A reserved code.
    Reserved,
}

impl PasidTranslation {
    const fn code(self) -> u64 {
        match self {
            Self::FirstStage => 1,
            Self::SecondStage => 2,
            Self::Nested => 3,
            Self::PassThrough => 4,
            Self::Reserved => 0,
        }
    }

    const fn from_code(code: u64) -> Self {
        match code {
            1 => Self::FirstStage,
            2 => Self::SecondStage,
            3 => Self::Nested,
            4 => Self::PassThrough,
            _ => Self::Reserved,
        }
    }
}

/// One PASID entry, as the 512 bits that hardware reads.
///
/// Hardware may read it in pieces, so an entry that hardware can reach is never changed: it is made
/// not present first, and what was cached of it is invalidated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct PasidEntry([u64; PASID_ENTRY_WORDS]);

impl PasidEntry {
    /// An entry whose PASID has no translation (fault reason 0x59).
    pub const ABSENT: Self = Self([0; PASID_ENTRY_WORDS]);

    /// Creates an entry that translates through the second-stage table at `table`, or returns `None`
    /// if that is not page aligned.
    ///
    /// `CAP.SAGAW` must have `width`. `snooped`: hardware snoops processor caches when it walks the
    /// table (PWSNP, which needs `ECAP.SMPWC`).
    pub const fn second_stage(
        table: PhysAddr,
        width: AddressWidth,
        domain: DomainId,
        snooped: bool,
    ) -> Option<Self> {
        if !table.is_page_aligned() {
            return None;
        }
        let low = table.raw() | bits::at(width.code() as u64, 2);
        Some(Self::build(
            low,
            PasidTranslation::SecondStage,
            domain,
            snooped,
            0,
        ))
    }

    /// Creates an entry that translates through the first-stage table at `table`, or returns `None`
    /// if that is not page aligned, or if no first stage has this width.
    ///
    /// `snooped`: as for [`Self::second_stage`].
    pub const fn first_stage(
        table: PhysAddr,
        width: AddressWidth,
        domain: DomainId,
        snooped: bool,
    ) -> Option<Self> {
        let levels = match width {
            AddressWidth::Bits39 => return None,
            AddressWidth::Bits48 => 0,
            AddressWidth::Bits57 => 1,
        };
        if !table.is_page_aligned() {
            return None;
        }
        // AW is that of a second stage. But QEMU's unit takes the width of addresses from it for a
        // first stage, too: at 0, addresses from 2^29 on are not canonical there.
        let low = bits::at(width.code() as u64, 2);
        // FSPM.
        let third = table.raw() | bits::at(levels, 2);
        Some(Self::build(
            low,
            PasidTranslation::FirstStage,
            domain,
            snooped,
            third,
        ))
    }

    /// Creates an entry that lets requests pass with their address unchanged; the unit must have
    /// `ECAP.PT`.
    ///
    /// `widest` must be the widest table that the unit supports.
    pub const fn pass_through(widest: AddressWidth, domain: DomainId, snooped: bool) -> Self {
        let low = bits::at(widest.code() as u64, 2);
        Self::build(low, PasidTranslation::PassThrough, domain, snooped, 0)
    }

    const fn build(
        low: u64,
        kind: PasidTranslation,
        domain: DomainId,
        snooped: bool,
        third: u64,
    ) -> Self {
        Self([
            low | bits::at(kind.code(), 6) | 1,
            domain.raw() as u64 | bits::flag(snooped, 23),
            third,
            0,
            0,
            0,
            0,
            0,
        ])
    }

    /// Returns this entry with PGSNP set: all accesses through its first stage snoop processor
    /// caches, as a second stage's leaves with the snoop bit demand it (`ECAP.SC`).
    pub const fn with_page_snoop(self) -> Self {
        let [low, second, third, rest @ ..] = self.0;
        let [fourth, fifth, sixth, seventh, eighth] = rest;
        let second = second | bits::one(24);
        Self([low, second, third, fourth, fifth, sixth, seventh, eighth])
    }

    /// Returns whether PGSNP is set.
    pub const fn forces_snooping(self) -> bool {
        bits::bit(self.0[1], 24)
    }

    /// Creates the entry from its words in memory, the lowest bits first.
    pub const fn from_words(words: [u64; PASID_ENTRY_WORDS]) -> Self {
        Self(words)
    }

    /// Returns the words for memory, the lowest bits first.
    pub const fn words(self) -> [u64; PASID_ENTRY_WORDS] {
        self.0
    }

    /// Returns whether the PASID has a translation (P).
    pub const fn is_present(self) -> bool {
        let [low, ..] = self.0;
        bits::bit(low, 0)
    }

    /// Returns what translates requests, if the entry is present (PGTT).
    pub const fn translation(self) -> PasidTranslation {
        let [low, ..] = self.0;
        PasidTranslation::from_code(bits::field(low, 8, 6))
    }

    /// Returns the domain-id with which hardware tags what it caches (DID).
    pub const fn domain(self) -> DomainId {
        let [_, second, ..] = self.0;
        DomainId::new(bits::field(second, 15, 0) as u16)
    }

    /// Returns the top table of the second stage (SSPTPTR).
    pub const fn second_stage_table(self) -> PhysAddr {
        let [low, ..] = self.0;
        PhysAddr::new(low).page()
    }

    /// Returns the width of the second stage (AW), or `None` for a reserved code.
    pub const fn width(self) -> Option<AddressWidth> {
        let [low, ..] = self.0;
        AddressWidth::from_code(bits::field(low, 4, 2) as u8)
    }

    /// Returns the top table of the first stage (FSPTPTR).
    pub const fn first_stage_table(self) -> PhysAddr {
        let [_, _, third, ..] = self.0;
        PhysAddr::new(third).page()
    }

    /// Returns the width of the first stage (FSPM), or `None` for a reserved code.
    pub const fn first_stage_width(self) -> Option<AddressWidth> {
        let [_, _, third, ..] = self.0;
        match bits::field(third, 3, 2) {
            0 => Some(AddressWidth::Bits48),
            1 => Some(AddressWidth::Bits57),
            _ => None,
        }
    }

    /// Returns whether the table pointers lie within `host_bits` physical address bits. Hardware
    /// faults if they do not (reason 0x5a).
    pub const fn is_within(self, host_bits: u32) -> bool {
        let [low, _, third, ..] = self.0;
        (low | third) & !bits::low_mask(host_bits) == 0
    }
}
