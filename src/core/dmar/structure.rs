// SPDX-License-Identifier: GPL-2.0

//! The remapping structures of the table, one after another (VT-d 8.2).

use super::bytes::Bytes;
use super::error::{DmarError, Problem};
use super::region::Rmrr;
use super::scope::Scopes;
use super::unit::Drhd;
use crate::spec::address::{PhysAddr, Segment};

/// Bytes of type and length.
const STRUCTURE_HEADER: usize = 4;

/// The type of a unit.
pub(super) const DRHD: u16 = 0;

/// The type of a reserved region.
pub(super) const RMRR: u16 = 1;

/// A remapping structure.
#[derive(Clone, Copy, Debug)]
pub enum Structure<'a> {
    /// Type 0: a remapping unit.
    Drhd(Drhd<'a>),
    /// Type 1: memory that devices reach before an operating system runs.
    Rmrr(Rmrr<'a>),
    /// Type 2: root ports that take translation requests.
    Atsr(Atsr<'a>),
    /// Type 3: the proximity domain of a unit.
    Rhsa(Rhsa),
    /// Type 4: a device that is known by its ACPI name.
    Andd(Andd<'a>),
    /// Type 5: integrated devices with a device-TLB.
    Satc(Satc<'a>),
    /// Type 6: properties of integrated devices.
    Sidp(Sidp<'a>),
    /// A type that this driver does not know.
    Unknown {
        /// Where it stands in the table.
        offset: usize,
        /// The type.
        kind: u16,
    },
    /// A structure of a known type that says nothing which can be used; it is left out.
    Ignored {
        /// Where it stands in the table.
        offset: usize,
        /// Why.
        error: DmarError,
    },
}

/// Root ports that take translation requests (VT-d 8.5).
#[derive(Clone, Copy, Debug)]
pub struct Atsr<'a> {
    /// Where it stands in the table.
    pub offset: usize,
    /// ALL_PORTS: every root port of the segment does.
    pub all_ports: bool,
    /// The segment.
    pub segment: Segment,
    /// The root ports.
    pub scopes: Scopes<'a>,
}

/// The proximity domain of a unit (VT-d 8.6).
#[derive(Clone, Copy, Debug)]
pub struct Rhsa {
    /// Where it stands in the table.
    pub offset: usize,
    /// The unit's register base.
    pub register_base: PhysAddr,
    /// The proximity domain, as the SRAT numbers it.
    pub proximity_domain: u32,
}

/// A device that is known by its ACPI name (VT-d 8.7).
#[derive(Clone, Copy, Debug)]
pub struct Andd<'a> {
    /// Where it stands in the table.
    pub offset: usize,
    /// The number by which device scopes of type 5 refer to it.
    pub device_number: u8,
    /// The name, without its terminating zero; not necessarily text.
    pub name: &'a [u8],
}

/// Integrated devices with a device-TLB (VT-d 8.8).
#[derive(Clone, Copy, Debug)]
pub struct Satc<'a> {
    /// Where it stands in the table.
    pub offset: usize,
    /// ATC_REQUIRED: the devices need their device-TLB. In legacy mode hardware turns it on by
    /// itself, so that they work without anything being done for them.
    pub atc_required: bool,
    /// The segment.
    pub segment: Segment,
    /// The devices.
    pub scopes: Scopes<'a>,
}

/// Properties of integrated devices (VT-d 8.9).
#[derive(Clone, Copy, Debug)]
pub struct Sidp<'a> {
    /// Where it stands in the table.
    pub offset: usize,
    /// The segment.
    pub segment: Segment,
    /// The devices; the flags of each scope hold its properties.
    pub scopes: Scopes<'a>,
}

/// A structure whose bounds are known to lie in the table, but not what it says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raw<'a> {
    /// Where it stands in the table.
    pub(super) offset: usize,
    /// Its type.
    pub(super) kind: u16,
    /// All of it, type and length included.
    bytes: &'a [u8],
    /// Whether `decode` has succeeded before, if it is a unit.
    checked: bool,
}

/// The structures from an offset up, to the end or the zeroes behind the last; ends after the first
/// error.
#[derive(Clone, Debug)]
pub(super) struct Walk<'a> {
    table: &'a [u8],
    offset: usize,
    checked: bool,
}

impl<'a> Walk<'a> {
    /// Over a table of which only the header is known.
    pub(super) const fn unchecked(table: &'a [u8], offset: usize) -> Self {
        Self {
            table,
            offset,
            checked: false,
        }
    }

    /// Over a table each unit of which was decoded before, without an error.
    pub(super) const fn checked(table: &'a [u8], offset: usize) -> Self {
        Self {
            table,
            offset,
            checked: true,
        }
    }
}

impl Walk<'_> {
    /// Where the next structure would stand.
    pub(super) const fn offset(&self) -> usize {
        self.offset
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Result<Raw<'a>, DmarError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.table.get(self.offset..)?;
        if is_padding(rest) {
            return None;
        }
        let raw = Raw::first(rest, self.offset, self.checked);
        self.offset = match &raw {
            Ok(raw) => self.offset.saturating_add(raw.bytes.len()),
            Err(_) => usize::MAX,
        };
        Some(raw)
    }
}

impl<'a> Raw<'a> {
    /// The structure at the start of `rest`, which stands at `offset` in the table.
    fn first(rest: &'a [u8], offset: usize, checked: bool) -> Result<Self, DmarError> {
        let reader = Bytes::new(rest);
        let left = rest.len();
        let (Some(kind), Some(claimed)) = (reader.u16(0), reader.u16(2)) else {
            return Err(DmarError::table(offset, Problem::StructureHeader { left }));
        };
        let claimed = usize::from(claimed);
        let least = least_length(kind);
        if claimed < least {
            // Where the next structure stands is not known then.
            let problem = Problem::StructureLength { claimed, least };
            return Err(DmarError::structure(offset, kind, problem));
        }
        match rest.get(..claimed) {
            Some(bytes) => Ok(Self {
                offset,
                kind,
                bytes,
                checked,
            }),
            None => {
                let problem = Problem::StructureEnd { claimed, left };
                Err(DmarError::structure(offset, kind, problem))
            }
        }
    }

    /// What the structure says, checked as far as it can be on its own.
    pub(super) fn decode(self, host_bits: u32) -> Result<Structure<'a>, DmarError> {
        match self.kind {
            0 => Drhd::decode(self, host_bits).map(Structure::Drhd),
            1 => Rmrr::decode(self, host_bits).map(Structure::Rmrr),
            2 => self.atsr().map(Structure::Atsr),
            3 => self.rhsa().map(Structure::Rhsa),
            4 => self.andd().map(Structure::Andd),
            5 => self.satc().map(Structure::Satc),
            6 => self.sidp().map(Structure::Sidp),
            kind => Ok(Structure::Unknown {
                offset: self.offset,
                kind,
            }),
        }
    }

    /// An error of this structure as a whole.
    pub(super) const fn error(&self, problem: Problem) -> DmarError {
        DmarError::structure(self.offset, self.kind, problem)
    }

    /// `value`, which a structure of at least its least length has.
    pub(super) fn have<T>(&self, value: Option<T>) -> Result<T, DmarError> {
        value.ok_or(self.error(Problem::StructureLength {
            claimed: self.bytes.len(),
            least: least_length(self.kind),
        }))
    }

    pub(super) const fn reader(&self) -> Bytes<'a> {
        Bytes::new(self.bytes)
    }

    pub(super) fn segment(&self) -> Result<Segment, DmarError> {
        self.have(self.reader().u16(6)).map(Segment::new)
    }

    /// The device scopes from `start` to the end of the structure.
    pub(super) fn scopes(&self, start: usize) -> Result<Scopes<'a>, DmarError> {
        let bytes = self.have(self.bytes.get(start..))?;
        let offset = self.offset.saturating_add(start);
        if self.checked && self.kind == DRHD {
            return Ok(Scopes::checked(bytes, offset));
        }
        Scopes::check(bytes, offset, self.kind)
    }

    fn atsr(self) -> Result<Atsr<'a>, DmarError> {
        Ok(Atsr {
            offset: self.offset,
            all_ports: self.have(self.reader().u8(4))? & 1 != 0,
            segment: self.segment()?,
            scopes: self.scopes(8)?,
        })
    }

    fn rhsa(self) -> Result<Rhsa, DmarError> {
        Ok(Rhsa {
            offset: self.offset,
            register_base: PhysAddr::new(self.have(self.reader().u64(8))?),
            proximity_domain: self.have(self.reader().u32(16))?,
        })
    }

    fn andd(self) -> Result<Andd<'a>, DmarError> {
        let field = self.have(self.bytes.get(8..))?;
        let name = field.split(|byte| *byte == 0).next().unwrap_or(&[]);
        if name.is_empty() || name.len() == field.len() {
            let bytes = field.len();
            return Err(self.error(Problem::NameUnterminated { bytes }));
        }
        Ok(Andd {
            offset: self.offset,
            device_number: self.have(self.reader().u8(7))?,
            name,
        })
    }

    fn satc(self) -> Result<Satc<'a>, DmarError> {
        Ok(Satc {
            offset: self.offset,
            atc_required: self.have(self.reader().u8(4))? & 1 != 0,
            segment: self.segment()?,
            scopes: self.scopes(8)?,
        })
    }

    fn sidp(self) -> Result<Sidp<'a>, DmarError> {
        Ok(Sidp {
            offset: self.offset,
            segment: self.segment()?,
            scopes: self.scopes(8)?,
        })
    }
}

/// Whether no structure is left, but at most zeroes: a type and a length of 0 are none.
pub(super) fn is_padding(rest: &[u8]) -> bool {
    rest.iter().all(|byte| *byte == 0)
}

/// The bytes that a structure of this type has before its variable part.
const fn least_length(kind: u16) -> usize {
    match kind {
        0 => 16,
        1 => 24,
        2 | 5 | 6 => 8,
        3 => 20,
        4 => 10,
        _ => STRUCTURE_HEADER,
    }
}
