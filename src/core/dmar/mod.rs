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
//! odd is a [`Note`].

mod bytes;

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
use structure::Walk;

/// Bytes before the first remapping structure: the ACPI header, the host address
/// width, the flags and ten reserved bytes.
const HEADER_BYTES: usize = 48;

/// Where the ACPI header says how long the table is.
const LENGTH_OFFSET: usize = 4;

/// Where the host address width, less one, stands.
const WIDTH_OFFSET: usize = 36;

/// Where the flags stand.
const FLAGS_OFFSET: usize = 37;

/// A DMAR table that has been checked as a whole.
#[derive(Clone, Copy, Debug)]
pub struct Dmar<'a> {
    table: &'a [u8],
    facts: Facts,
}

/// What [`Dmar::parse`] found out of a table as a whole.
#[derive(Clone, Copy, Debug)]
struct Facts {
    length: usize,
    host_bits: u32,
    flags: u8,
}

/// That a table has been checked, so that it need not be checked each time it is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Checked(Facts);

impl Checked {
    /// The table at the first of `bytes`, which must be those of the table that was checked.
    ///
    /// Of other bytes nothing worse comes than a table that says something else, or less.
    pub fn table<'a>(&self, bytes: &'a [u8]) -> Dmar<'a> {
        Dmar {
            table: bytes.get(..self.0.length).unwrap_or_default(),
            facts: self.0,
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
        let table = whole_table(bytes)?;
        let reader = Bytes::new(table);
        let (Some(width), Some(flags)) = (reader.u8(WIDTH_OFFSET), reader.u8(FLAGS_OFFSET)) else {
            return Err(DmarError::table(
                0,
                Problem::TooShort { found: table.len() },
            ));
        };
        let host_bits = u32::from(width) + 1;
        if !(12..=64).contains(&host_bits) {
            return Err(DmarError::table(
                WIDTH_OFFSET,
                Problem::HostWidth { bits: host_bits },
            ));
        }
        let facts = Facts {
            length: table.len(),
            host_bits,
            flags,
        };
        let dmar = Self { table, facts };
        let mut units = 0usize;
        for raw in Walk::unchecked(table, HEADER_BYTES) {
            if let Structure::Drhd(unit) = raw?.decode(host_bits)? {
                dmar.check_unit(&unit)?;
                units += 1;
            }
        }
        if units == 0 {
            return Err(DmarError::table(0, Problem::NoUnit));
        }
        for region in dmar.reserved_regions() {
            dmar.check_region(&region)?;
        }
        Ok(dmar)
    }

    /// That this table has been checked.
    pub const fn checked(&self) -> Checked {
        Checked(self.facts)
    }

    /// The bits of host physical address, 12 to 64.
    pub const fn host_bits(&self) -> u32 {
        self.facts.host_bits
    }

    /// INTR_REMAP: the platform supports interrupt remapping.
    pub const fn interrupt_remapping(&self) -> bool {
        self.facts.flags & 1 != 0
    }

    /// X2APIC_OPT_OUT: firmware asks for x2APIC not to be used.
    pub const fn x2apic_opt_out(&self) -> bool {
        self.facts.flags & 2 != 0
    }

    /// DMA_CTRL_PLATFORM_OPT_IN_FLAG: firmware declares that no DMA happens outside of the
    /// reserved regions until the operating system enables it.
    pub const fn platform_opt_in(&self) -> bool {
        self.facts.flags & 4 != 0
    }

    /// Every remapping structure, in the table's order.
    pub fn structures(&self) -> impl Iterator<Item = Structure<'a>> + use<'a> {
        let host_bits = self.facts.host_bits;
        // Neither step can fail: `parse` has gone the same way.
        self.walk()
            .filter_map(Result::ok)
            .filter_map(move |raw| raw.decode(host_bits).ok())
    }

    /// Every remapping unit, in the table's order.
    pub fn units(&self) -> impl Iterator<Item = Drhd<'a>> + use<'a> {
        self.structures().filter_map(|structure| match structure {
            Structure::Drhd(unit) => Some(unit),
            _ => None,
        })
    }

    /// The proximity domain of the unit whose registers are at `base`, if firmware tells it.
    pub fn proximity_of(&self, base: PhysAddr) -> Option<u32> {
        self.structures().find_map(|structure| match structure {
            Structure::Rhsa(near) if near.register_base == base => Some(near.proximity_domain),
            _ => None,
        })
    }

    /// Every reserved region, in the table's order.
    pub fn reserved_regions(&self) -> impl Iterator<Item = Rmrr<'a>> + use<'a> {
        self.structures().filter_map(|structure| match structure {
            Structure::Rmrr(region) => Some(region),
            _ => None,
        })
    }

    fn walk(&self) -> Walk<'a> {
        Walk::checked(self.table, HEADER_BYTES)
    }

    /// The units that stand before `offset`; for use while the rest is not yet checked.
    fn units_before(&self, offset: usize) -> impl Iterator<Item = Drhd<'a>> + use<'a> {
        self.units().take_while(move |unit| unit.offset < offset)
    }

    /// What must hold between a unit and those before it.
    fn check_unit(&self, unit: &Drhd<'a>) -> Result<(), DmarError> {
        for other in self.units_before(unit.offset) {
            if other.overlaps(unit) {
                return Err(unit.error(Problem::UnitsOverlap {
                    base: unit.register_base,
                    other: other.register_base,
                    other_offset: other.offset,
                }));
            }
            if other.include_all && unit.include_all && other.segment == unit.segment {
                return Err(unit.error(Problem::SecondIncludeAll {
                    segment: unit.segment,
                    other_offset: other.offset,
                }));
            }
        }
        Ok(())
    }

    /// What must hold between a region and the units: who writes their registers, switches them
    /// off.
    fn check_region(&self, region: &Rmrr<'a>) -> Result<(), DmarError> {
        let covered = self
            .units()
            .find(|unit| unit.meets(region.base, region.limit));
        covered.map_or(Ok(()), |unit| {
            let problem = Problem::RegionOverRegisters {
                base: region.base,
                limit: region.limit,
                unit_offset: unit.offset,
            };
            Err(DmarError::structure(region.offset, 1, problem))
        })
    }
}

/// The bytes that the ACPI header claims, if it is a DMAR header and they add up.
fn whole_table(bytes: &[u8]) -> Result<&[u8], DmarError> {
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
