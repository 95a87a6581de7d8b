// SPDX-License-Identifier: GPL-2.0

//! The format of a table: what the bits of its entries mean. Everything else in this folder is the
//! same for every format.

use super::geometry::Geometry;
use super::level::TableLevel;
use crate::spec::address::{Iova, PhysAddr};
use crate::spec::fault::FaultReason;
use crate::spec::first_stage::FirstStageEntry;
use crate::spec::level::{AddressWidth, Level, PageSize, Stage};
use crate::spec::pte::{Access, DecodedEntry, Entry};
use crate::spec::registers::TranslationTableMode;

mod sealed {
    pub trait Sealed {}
}

/// The protection of mapped memory: the accesses that a device may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prot {
    /// Reads, writes or both.
    pub access: Access,
    /// Whether accesses snoop processor caches even if the device requests no snooping.
    pub snoop: bool,
}

/// How the entries of a table are written and read.
///
/// All formats have tables of 512 entries of 64 bits, and an entry is 0, a leaf or a link.
pub trait Format: sealed::Sealed + Copy + Send + Sync + 'static {
    /// The stage that has tables of this format.
    const STAGE: Stage;

    /// The bits of the address of a page or of a table.
    const ADDRESS: u64;

    /// The bit that distinguishes a leaf from a link in a table above level 1.
    const LARGE: u64;

    /// A bit of every link. Together with [`Self::LARGE`] it distinguishes a link from a leaf and
    /// from 0.
    const LINK: u64;

    /// A bit of a link that hardware ignores. The memory of the tables may use it.
    const IGNORED: u64;

    /// Returns what a leaf permits that is mapped for `access`: reads as well, if the format cannot
    /// permit writes alone.
    fn permitted(access: Access) -> Access;

    /// Returns the bits of a leaf of level 1 other than the address. Leaves of other levels have
    /// [`Self::LARGE`] as well. They permit what is [permitted](Self::permitted) for `prot`.
    fn leaf_bits(prot: Prot) -> u64;

    /// Returns a link to the table of the level below at `address`, or `None` if that is not page
    /// aligned or has bits above 51. A link permits everything; only leaves restrict access.
    fn link(address: PhysAddr) -> Option<u64>;

    /// Returns the meaning of an entry of a table of `level`.
    fn decode(entry: u64, level: Level) -> DecodedEntry;

    /// Returns the reason with which a unit in `mode` refuses an address beyond the last that a
    /// table of `width` can map.
    fn refuses_beyond(iova: Iova, width: AddressWidth, mode: TranslationTableMode) -> FaultReason;

    /// Returns the reason with which a unit in `mode` refuses a request if reserved bits of an entry
    /// are set.
    fn refuses_reserved(mode: TranslationTableMode) -> FaultReason;

    /// Returns the reason with which a unit in `mode` refuses `access` at an entry, or `None` if the
    /// entry permits it.
    fn refuses(entry: u64, access: Access, mode: TranslationTableMode) -> Option<FaultReason>;

    /// Returns the set bits of an entry on which a unit would fault, or 0 if there are none.
    fn reserved_bits(entry: u64, level: Level, geometry: &Geometry) -> u64;
}

/// Second-stage tables (VT-d 3.7, 9.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecondStage;

impl sealed::Sealed for SecondStage {}

impl Format for SecondStage {
    const STAGE: Stage = Stage::Second;

    const ADDRESS: u64 = Entry::from_raw(u64::MAX).address().raw();

    const LARGE: u64 = read_only(PageSize::Size2M) ^ read_only(PageSize::Size4K);

    // R.
    const LINK: u64 = match Entry::table(PhysAddr::new(0)) {
        Some(link) => link.raw() & 1,
        None => 0,
    };

    const IGNORED: u64 = 1 << 52;

    #[inline(always)]
    fn permitted(access: Access) -> Access {
        access
    }

    #[inline(always)]
    fn leaf_bits(prot: Prot) -> u64 {
        match Entry::leaf(PhysAddr::new(0), PageSize::Size4K, prot.access, prot.snoop) {
            Some(entry) => entry.raw(),
            // Not reached: address 0 is aligned. An entry of 0 would only block.
            None => 0,
        }
    }

    #[inline(always)]
    fn link(address: PhysAddr) -> Option<u64> {
        Entry::table(address).map(Entry::raw)
    }

    #[inline(always)]
    fn decode(entry: u64, level: Level) -> DecodedEntry {
        Entry::from_raw(entry).decode(level)
    }

    fn refuses_beyond(_: Iova, _: AddressWidth, mode: TranslationTableMode) -> FaultReason {
        FaultReason::new(match mode {
            TranslationTableMode::Legacy => 0x4,
            TranslationTableMode::Scalable => 0x84,
        })
    }

    fn refuses_reserved(mode: TranslationTableMode) -> FaultReason {
        FaultReason::new(match mode {
            TranslationTableMode::Legacy => 0xc,
            TranslationTableMode::Scalable => 0x7a,
        })
    }

    fn refuses(entry: u64, access: Access, mode: TranslationTableMode) -> Option<FaultReason> {
        let given = Entry::from_raw(entry).access();
        if given.is_some_and(|given| given.permits(access)) {
            return None;
        }
        Some(FaultReason::new(match (mode, given) {
            (TranslationTableMode::Legacy, _) if access.writes() => 0x5,
            (TranslationTableMode::Legacy, _) => 0x6,
            (TranslationTableMode::Scalable, None) => 0x79,
            (TranslationTableMode::Scalable, Some(_)) if access.writes() => 0x85,
            (TranslationTableMode::Scalable, Some(_)) => 0x86,
        }))
    }

    fn reserved_bits(entry: u64, level: Level, geometry: &Geometry) -> u64 {
        Entry::from_raw(entry).reserved_bits(level, geometry.output_bits, geometry.snoop_control)
    }
}

/// Returns the leaf of `size` at address 0 that permits reads.
const fn read_only(size: PageSize) -> u64 {
    match Entry::leaf(PhysAddr::new(0), size, Access::Read, false) {
        Some(entry) => entry.raw(),
        None => 0,
    }
}

/// First-stage tables (VT-d 3.6, 9.7).
///
/// Addresses are canonical, so an aperture is the lower half. Accesses snoop as the PASID entry says,
/// not as [`Prot::snoop`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstStage;

impl sealed::Sealed for FirstStage {}

impl Format for FirstStage {
    const STAGE: Stage = Stage::First;

    const ADDRESS: u64 = FirstStageEntry::from_raw(u64::MAX).address().raw();

    const LARGE: u64 = SecondStage::LARGE;

    // P.
    const LINK: u64 = match FirstStageEntry::table(PhysAddr::new(0)) {
        Some(link) => link.raw() & 1,
        None => 0,
    };

    const IGNORED: u64 = 1 << 52;

    #[inline(always)]
    fn permitted(access: Access) -> Access {
        if access.writes() {
            Access::ReadWrite
        } else {
            access
        }
    }

    #[inline(always)]
    fn leaf_bits(prot: Prot) -> u64 {
        match FirstStageEntry::leaf(PhysAddr::new(0), PageSize::Size4K, prot.access) {
            Some(entry) => entry.raw(),
            // Not reached: address 0 is aligned. An entry of 0 would only block.
            None => 0,
        }
    }

    #[inline(always)]
    fn link(address: PhysAddr) -> Option<u64> {
        FirstStageEntry::table(address).map(FirstStageEntry::raw)
    }

    #[inline(always)]
    fn decode(entry: u64, level: Level) -> DecodedEntry {
        FirstStageEntry::from_raw(entry).decode(level)
    }

    fn refuses_beyond(iova: Iova, width: AddressWidth, _: TranslationTableMode) -> FaultReason {
        // Canonical: all bits from the highest of the width on are equal. The upper half is never
        // mapped.
        let upper = iova.raw() >> (width.bits() - 1);
        let is_canonical = upper == 0 || upper == u64::MAX >> (width.bits() - 1);
        FaultReason::new(if is_canonical { 0x71 } else { 0x80 })
    }

    fn refuses_reserved(_: TranslationTableMode) -> FaultReason {
        FaultReason::new(0x72)
    }

    fn refuses(entry: u64, access: Access, _: TranslationTableMode) -> Option<FaultReason> {
        match FirstStageEntry::from_raw(entry).access() {
            None => Some(FaultReason::new(0x71)),
            Some(given) if given.permits(access) => None,
            Some(_) => Some(FaultReason::new(0x85)),
        }
    }

    fn reserved_bits(entry: u64, level: Level, geometry: &Geometry) -> u64 {
        FirstStageEntry::from_raw(entry).reserved_bits(level, geometry.output_bits)
    }
}

/// Returns the bits that distinguish a leaf of level `L` from a link: none in level 1, which has no
/// links.
///
/// They are the same at levels 4 and 5, where no leaf is ever written.
#[inline(always)]
pub const fn leaf_mark<F: Format, L: TableLevel>() -> u64 {
    match L::LEVEL {
        Level::L1 => 0,
        Level::L2 | Level::L3 | Level::L4 | Level::L5 => F::LARGE,
    }
}

#[cfg(test)]
mod tests {
    use super::super::level::{L1, L2, L3};
    use super::*;

    #[test]
    fn a_leaf_mark_is_the_page_size_bit_above_level_1_only() {
        assert_eq!(leaf_mark::<SecondStage, L1>(), 0);
        assert_eq!(leaf_mark::<SecondStage, L2>(), 1 << 7);
        assert_eq!(leaf_mark::<SecondStage, L3>(), 1 << 7);
    }

    #[test]
    fn the_bits_of_a_first_stage_are_those_of_the_specification() {
        let large = |size| FirstStageEntry::leaf(PhysAddr::new(0), size, Access::Read);
        let mark =
            [PageSize::Size4K, PageSize::Size2M].map(|size| large(size).map_or(0, |e| e.raw()));
        assert_eq!(FirstStage::LARGE, mark[0] ^ mark[1]);
        assert_eq!(FirstStage::ADDRESS, 0x000f_ffff_ffff_f000);
        assert_eq!(FirstStage::LINK, 1);
        assert_eq!(FirstStage::link(PhysAddr::new(0x1000)), Some(0x1027));
    }

    #[test]
    fn a_leaf_permits_what_its_format_says() {
        fn permits<F: Format>(access: Access) -> Option<Access> {
            let prot = Prot {
                access,
                snoop: false,
            };
            match F::decode(F::leaf_bits(prot), Level::L1) {
                DecodedEntry::Leaf { access, .. } => Some(access),
                _ => None,
            }
        }
        for access in [Access::Read, Access::Write, Access::ReadWrite] {
            assert_eq!(permits::<SecondStage>(access), Some(access));
            assert_eq!(SecondStage::permitted(access), access);
            let both = FirstStage::permitted(access);
            assert_eq!(permits::<FirstStage>(access), Some(both));
            assert!(both.permits(access) && both.writes() == access.writes());
        }
    }

    #[test]
    fn the_bits_of_a_second_stage_are_those_of_the_specification() {
        assert_eq!(SecondStage::ADDRESS, 0x000f_ffff_ffff_f000);
        assert_eq!(SecondStage::LINK, 1);
        assert_eq!(SecondStage::link(PhysAddr::new(0x1000)), Some(0x1003));
        assert_eq!(SecondStage::link(PhysAddr::new(0x1008)), None);
        let ignored = Entry::from_raw(SecondStage::IGNORED | 3);
        assert_eq!(ignored.reserved_bits(Level::L2, 39, false), 0);
        for (access, snoop, bits) in [
            (Access::Read, false, 1),
            (Access::Write, false, 2),
            (Access::ReadWrite, true, 0x803),
        ] {
            assert_eq!(SecondStage::leaf_bits(Prot { access, snoop }), bits);
        }
    }
}
