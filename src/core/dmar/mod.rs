// SPDX-License-Identifier: GPL-2.0

//! The parser of the ACPI DMAR table, in which firmware describes the remapping units (VT-d
//! chapter 8).
//!
//! Firmware bytes are not trusted. [`Dmar::parse`] checks the whole table once. The structures that
//! the resulting [`Dmar`] returns are within bounds and consistent with each other, and iterating
//! over them cannot fail. Only the hardware can show that the units and devices exist.
//!
//! A problem is an error if it leaves unclear which unit translates which device, or where a unit's
//! registers are. Nothing of such a table is used. A structure that is wrong but not needed for
//! this is left out. Anything else that is unusual is a [`Note`].

mod bytes;
mod raw;

pub mod device_scope;
pub mod drhd;
pub mod error;
pub mod note;
pub mod region;
pub mod select;
pub mod structure;

pub use device_scope::{DeviceScope, ScopeKind, Scopes};
pub use drhd::Drhd;
pub use error::DmarError;
pub use note::Note;
pub use region::Rmrr;
pub use structure::{Andd, Atsr, Rhsa, Satc, Sidp, Structure};

use crate::spec::address::PhysAddr;
use bytes::Bytes;
use error::Problem;
use raw::{RawStructure, RawStructures, DRHD, RMRR};

/// The bytes before the first remapping structure: the ACPI header, the host address width, the
/// flags and ten reserved bytes.
const HEADER_BYTES: usize = 48;

/// The offset of the table's length in the ACPI header.
const LENGTH_OFFSET: usize = 4;

/// The offset of the host address width minus 1.
const WIDTH_OFFSET: usize = 36;

/// The offset of the flags.
const FLAGS_OFFSET: usize = 37;

/// DMAR_REMAP_OPT_OUT: the flag with which firmware forces DMA remapping off.
const REMAP_OPT_OUT: u8 = 8;

/// A DMAR table that has been checked as a whole.
#[derive(Clone, Copy, Debug)]
pub struct Dmar<'a> {
    table: &'a [u8],
    info: TableInfo,
}

/// The properties of a whole table that [`Dmar::parse`] has found.
#[derive(Clone, Copy, Debug)]
struct TableInfo {
    /// The end of the last structure.
    length: usize,
    /// The length in the header. The bytes of the table from `length` to this one are 0.
    claimed: usize,
    host_bits: u32,
    flags: u8,
    /// Whether a unit is listed twice.
    repeats: bool,
}

/// Proof that a table was checked; it lets [`table`](Self::table) skip the check.
#[derive(Clone, Copy, Debug)]
pub struct CheckedDmar(TableInfo);

impl CheckedDmar {
    /// Returns the table at the start of `bytes`, which must be the bytes that were checked.
    ///
    /// Other bytes are safe to pass, but the table then has other or fewer structures.
    pub fn table<'a>(&self, bytes: &'a [u8]) -> Dmar<'a> {
        Dmar {
            table: bytes.get(..self.0.length).unwrap_or_default(),
            info: self.0,
        }
    }
}

impl<'a> Dmar<'a> {
    /// Checks the table that starts at the first of `bytes`.
    ///
    /// `bytes` may be longer than the table; bytes after its end are not read.
    ///
    /// # Errors
    ///
    /// The first problem found, with its offset. Nothing of such a table is usable.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DmarError> {
        let table = check_header(bytes)?;
        let reader = Bytes::new(table);
        let (Some(width), Some(flags)) = (reader.u8(WIDTH_OFFSET), reader.u8(FLAGS_OFFSET)) else {
            return Err(DmarError::table(
                0,
                Problem::TooShort { found: table.len() },
            ));
        };
        if flags & REMAP_OPT_OUT != 0 {
            return Err(DmarError::table(
                FLAGS_OFFSET,
                Problem::RemappingOff { flags },
            ));
        }
        let bits = u32::from(width) + 1;
        if bits < 12 {
            return Err(DmarError::table(WIDTH_OFFSET, Problem::HostWidth { bits }));
        }
        let mut dmar = Self {
            table,
            info: TableInfo {
                length: table.len(),
                claimed: table.len(),
                host_bits: bits.min(64),
                flags,
                repeats: false,
            },
        };
        dmar.info.length = dmar.check_structures()?;
        if dmar.units().next().is_none() {
            return Err(DmarError::table(0, Problem::NoUnit));
        }
        dmar.table = table.get(..dmar.info.length).unwrap_or_default();
        Ok(dmar)
    }

    /// Checks the bounds of all structures and the content of the units. Returns the end of the
    /// last structure.
    fn check_structures(&mut self) -> Result<usize, DmarError> {
        let mut walk = RawStructures::unchecked(self.table, HEADER_BYTES);
        for raw in walk.by_ref() {
            let raw = raw?;
            if raw.kind != DRHD {
                continue;
            }
            if let Structure::Drhd(unit) = Structure::decode(raw, self.info.host_bits)? {
                self.info.repeats |= self.is_repeated(&unit)?;
            }
        }
        Ok(walk.offset())
    }

    /// Returns the proof that this table has been checked.
    pub const fn checked(&self) -> CheckedDmar {
        CheckedDmar(self.info)
    }

    /// Returns the number of host physical address bits, 12 to 64. A larger value in the table
    /// counts as 64.
    pub const fn host_bits(&self) -> u32 {
        self.info.host_bits
    }

    /// Returns whether the platform supports interrupt remapping (INTR_REMAP).
    pub const fn interrupt_remapping(&self) -> bool {
        self.info.flags & 1 != 0
    }

    /// Returns whether firmware requests that x2APIC is not used (X2APIC_OPT_OUT).
    pub const fn x2apic_opt_out(&self) -> bool {
        self.info.flags & 2 != 0
    }

    /// Returns whether firmware declares that no DMA happens outside of the reserved regions until
    /// the operating system enables it (DMA_CTRL_PLATFORM_OPT_IN_FLAG).
    pub const fn platform_opt_in(&self) -> bool {
        self.info.flags & 4 != 0
    }

    /// Returns every remapping structure, in the table's order.
    pub fn structures(&self) -> impl Iterator<Item = Structure<'a>> + use<'a> {
        let dmar = *self;
        self.walk().map(move |raw| dmar.structure(raw))
    }

    /// Returns every remapping unit once, in the table's order.
    pub fn units(&self) -> impl Iterator<Item = Drhd<'a>> + use<'a> {
        let dmar = *self;
        self.listed_units()
            .filter(move |unit| dmar.first_of(unit).is_none())
    }

    /// Returns the proximity domain of the unit whose registers are at `base`, if firmware reports
    /// one.
    pub fn proximity_of(&self, base: PhysAddr) -> Option<u32> {
        self.structures().find_map(|structure| match structure {
            Structure::Rhsa(near) if near.register_base == base => Some(near.proximity_domain),
            _ => None,
        })
    }

    /// Returns every reserved region that can be mapped, in the table's order.
    pub fn reserved_regions(&self) -> impl Iterator<Item = Rmrr<'a>> + use<'a> {
        let dmar = *self;
        self.walk()
            .filter(|raw| raw.kind == RMRR)
            .filter_map(move |raw| match dmar.structure(raw) {
                Structure::Rmrr(region) => Some(region),
                _ => None,
            })
    }

    fn walk(&self) -> impl Iterator<Item = RawStructure<'a>> + use<'a> {
        // Cannot fail: `parse` has done the same walk.
        RawStructures::checked(self.table, HEADER_BYTES).filter_map(Result::ok)
    }

    /// Decodes `raw` in this table, or returns the reason why it is left out.
    fn structure(&self, raw: RawStructure<'a>) -> Structure<'a> {
        let offset = raw.offset;
        let structure = match Structure::decode(raw, self.info.host_bits) {
            Ok(structure) => structure,
            Err(error) => return Structure::Ignored { offset, error },
        };
        let problem = match structure {
            Structure::Drhd(unit) => self.first_of(&unit).map(|first| Problem::UnitRepeated {
                first_offset: first.offset,
            }),
            Structure::Rmrr(region) => self.find_register_overlap(&region),
            _ => None,
        };
        problem.map_or(structure, |problem| Structure::Ignored {
            offset,
            error: raw.error(problem),
        })
    }

    /// Returns every unit, as often as it is listed.
    fn listed_units(&self) -> impl Iterator<Item = Drhd<'a>> + use<'a> {
        let host_bits = self.info.host_bits;
        self.walk()
            .filter(|raw| raw.kind == DRHD)
            .filter_map(move |raw| match Structure::decode(raw, host_bits) {
                Ok(Structure::Drhd(unit)) => Some(unit),
                _ => None,
            })
    }

    /// Returns the units that are listed before `unit`. Does not read the rest of the table, which
    /// may not have been checked yet.
    fn units_before(&self, unit: &Drhd<'a>) -> impl Iterator<Item = Drhd<'a>> + use<'a> {
        let offset = unit.offset;
        self.listed_units()
            .take_while(move |other| other.offset < offset)
    }

    /// Returns the first copy of `unit` in the table, if that is a different structure.
    fn first_of(&self, unit: &Drhd<'a>) -> Option<Drhd<'a>> {
        if !self.info.repeats {
            return None;
        }
        self.units_before(unit).find(|other| other.same(unit))
    }

    /// Returns whether `unit` repeats a unit before it.
    ///
    /// # Errors
    ///
    /// The unit shares registers with another unit without being equal to it.
    fn is_repeated(&self, unit: &Drhd<'a>) -> Result<bool, DmarError> {
        let Some(other) = self.units_before(unit).find(|other| other.overlaps(unit)) else {
            return Ok(false);
        };
        if other.same(unit) {
            return Ok(true);
        }
        Err(unit.error(Problem::UnitsOverlap {
            base: unit.register_base,
            other: other.register_base,
            other_offset: other.offset,
        }))
    }

    /// Returns the problem of a region that covers registers of a unit: a device that can write to
    /// these could disable the unit.
    fn find_register_overlap(&self, region: &Rmrr<'a>) -> Option<Problem> {
        self.listed_units()
            .find(|unit| unit.overlaps_range(region.base, region.limit))
            .map(|unit| Problem::RegionOverRegisters {
                base: region.base,
                limit: region.limit,
                unit_offset: unit.offset,
            })
    }
}

/// Checks signature, length and checksum, and returns the bytes of the table.
fn check_header(bytes: &[u8]) -> Result<&[u8], DmarError> {
    let found = bytes.len();
    let Some((signature, _)) = bytes.split_first_chunk::<4>() else {
        return Err(DmarError::table(0, Problem::TooShort { found }));
    };
    if signature != b"DMAR" {
        return Err(DmarError::table(
            0,
            Problem::Signature { found: *signature },
        ));
    }
    let claimed = Bytes::new(bytes)
        .u32(LENGTH_OFFSET)
        .and_then(|length| usize::try_from(length).ok());
    let Some(claimed) = claimed else {
        return Err(DmarError::table(0, Problem::TooShort { found }));
    };
    if claimed < HEADER_BYTES {
        return Err(DmarError::table(
            LENGTH_OFFSET,
            Problem::TooShort { found: claimed },
        ));
    }
    let Some(table) = bytes.get(..claimed) else {
        return Err(DmarError::table(
            LENGTH_OFFSET,
            Problem::Truncated { claimed, found },
        ));
    };
    let sum = table.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    if sum != 0 {
        return Err(DmarError::table(0, Problem::Checksum { sum }));
    }
    Ok(table)
}
