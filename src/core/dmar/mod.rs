// SPDX-License-Identifier: GPL-2.0

//! The ACPI DMAR table: what firmware says of the remapping units (VT-d chapter 8).
//!
//! Firmware bytes are only an allegation. [`Dmar::parse`] checks the whole table
//! once; what it hands out afterwards is within bounds and consistent in itself,
//! and iterating over it cannot fail. That the units and devices exist is still to
//! be shown by looking at the hardware.
//!
//! What makes it impossible to say which unit translates which device, or where its
//! registers are, is an error, and nothing of such a table is used. What is merely
//! odd is a [`Note`]; a structure that is wrong and not needed for that is left out.

mod bytes;
mod raw;

pub mod error;
pub mod note;
pub mod region;
pub mod scope;
pub mod select;
pub mod structure;
pub mod unit;

pub use error::DmarError;
pub use note::Note;
pub use region::Rmrr;
pub use scope::{DeviceScope, ScopeKind, Scopes};
pub use structure::{Andd, Atsr, Rhsa, Satc, Sidp, Structure};
pub use unit::Drhd;

use crate::spec::address::PhysAddr;
use bytes::Bytes;
use error::Problem;
use raw::{RawStructure, RawStructures, DRHD, RMRR};

/// Bytes before the first remapping structure: the ACPI header, the host address
/// width, the flags and ten reserved bytes.
const HEADER_BYTES: usize = 48;

/// Where the ACPI header says how long the table is.
const LENGTH_OFFSET: usize = 4;

/// Where the host address width, less one, stands.
const WIDTH_OFFSET: usize = 36;

/// Where the flags stand.
const FLAGS_OFFSET: usize = 37;

/// DMAR_REMAP_OPT_OUT: the flag by which firmware forces DMA remapping off.
const REMAP_OPT_OUT: u8 = 8;

/// A DMAR table that has been checked as a whole.
#[derive(Clone, Copy, Debug)]
pub struct Dmar<'a> {
    table: &'a [u8],
    info: TableInfo,
}

/// What [`Dmar::parse`] found out of a table as a whole.
#[derive(Clone, Copy, Debug)]
struct TableInfo {
    /// Where the last structure ends.
    length: usize,
    /// The length that the header claims; zeroes fill the difference.
    claimed: usize,
    host_bits: u32,
    flags: u8,
    /// Whether a unit is listed twice.
    repeats: bool,
}

/// That a table has been checked, so that it need not be checked each time it is looked at.
#[derive(Clone, Copy, Debug)]
pub struct CheckedDmar(TableInfo);

impl CheckedDmar {
    /// The table at the first of `bytes`, which must be those of the table that was checked.
    ///
    /// Of other bytes nothing worse comes than a table that says something else, or less.
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
    /// `bytes` may be longer than the table; what follows it is not looked at.
    ///
    /// # Errors
    ///
    /// The first problem found, with its place; nothing of the table is usable then.
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

    /// Checks what must hold for a table to be used; returns where the last structure ends.
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

    /// That this table has been checked.
    pub const fn checked(&self) -> CheckedDmar {
        CheckedDmar(self.info)
    }

    /// The bits of host physical address, 12 to 64. A table that claims more is taken for one of 64.
    pub const fn host_bits(&self) -> u32 {
        self.info.host_bits
    }

    /// INTR_REMAP: the platform supports interrupt remapping.
    pub const fn interrupt_remapping(&self) -> bool {
        self.info.flags & 1 != 0
    }

    /// X2APIC_OPT_OUT: firmware asks for x2APIC not to be used.
    pub const fn x2apic_opt_out(&self) -> bool {
        self.info.flags & 2 != 0
    }

    /// DMA_CTRL_PLATFORM_OPT_IN_FLAG: firmware declares that no DMA happens outside of the
    /// reserved regions until the operating system enables it.
    pub const fn platform_opt_in(&self) -> bool {
        self.info.flags & 4 != 0
    }

    /// Every remapping structure, in the table's order.
    pub fn structures(&self) -> impl Iterator<Item = Structure<'a>> + use<'a> {
        let dmar = *self;
        self.walk().map(move |raw| dmar.structure(raw))
    }

    /// Every remapping unit, in the table's order, each once.
    pub fn units(&self) -> impl Iterator<Item = Drhd<'a>> + use<'a> {
        let dmar = *self;
        self.listed_units()
            .filter(move |unit| dmar.first_of(unit).is_none())
    }

    /// The proximity domain of the unit whose registers are at `base`, if firmware tells it.
    pub fn proximity_of(&self, base: PhysAddr) -> Option<u32> {
        self.structures().find_map(|structure| match structure {
            Structure::Rhsa(near) if near.register_base == base => Some(near.proximity_domain),
            _ => None,
        })
    }

    /// Every reserved region that can be mapped, in the table's order.
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
        // Cannot fail: `parse` has gone the same way.
        RawStructures::checked(self.table, HEADER_BYTES).filter_map(Result::ok)
    }

    /// What `raw` says in this table, or why it is left out.
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

    /// Every unit, as often as it is listed.
    fn listed_units(&self) -> impl Iterator<Item = Drhd<'a>> + use<'a> {
        let host_bits = self.info.host_bits;
        self.walk()
            .filter(|raw| raw.kind == DRHD)
            .filter_map(move |raw| match Structure::decode(raw, host_bits) {
                Ok(Structure::Drhd(unit)) => Some(unit),
                _ => None,
            })
    }

    /// The units that stand before `unit`; for use while the rest is not yet checked.
    fn units_before(&self, unit: &Drhd<'a>) -> impl Iterator<Item = Drhd<'a>> + use<'a> {
        let offset = unit.offset;
        self.listed_units()
            .take_while(move |other| other.offset < offset)
    }

    /// Where `unit` is listed first, if that is somewhere else.
    fn first_of(&self, unit: &Drhd<'a>) -> Option<Drhd<'a>> {
        if !self.info.repeats {
            return None;
        }
        self.units_before(unit).find(|other| other.same(unit))
    }

    /// Whether `unit` is one of those before it once more. A unit that shares registers with
    /// another one in any other way is an error.
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

    /// What is wrong with a region through which devices would write the registers of a unit: who
    /// writes those, switches it off.
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

/// The bytes that the ACPI header claims, if it is a DMAR header and they add up.
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
