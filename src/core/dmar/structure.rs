// SPDX-License-Identifier: GPL-2.0

//! The remapping structures and their content (VT-d 8.2).

use super::error::{DmarError, Problem};
use super::raw::RawStructure;
use super::region::Rmrr;
use super::scope::Scopes;
use super::unit::Drhd;
use crate::spec::address::{PhysAddr, Segment};

/// A remapping structure.
#[derive(Clone, Copy, Debug)]
pub enum Structure<'a> {
    /// Type 0: a remapping unit.
    Drhd(Drhd<'a>),
    /// Type 1: memory that devices access before an operating system runs.
    Rmrr(Rmrr<'a>),
    /// Type 2: root ports that take translation requests.
    Atsr(Atsr<'a>),
    /// Type 3: the proximity domain of a unit.
    Rhsa(Rhsa),
    /// Type 4: a device that has only an ACPI name.
    Andd(Andd<'a>),
    /// Type 5: integrated devices with a device-TLB.
    Satc(Satc<'a>),
    /// Type 6: properties of integrated devices.
    Sidp(Sidp<'a>),
    /// A type that this driver does not know.
    Unknown {
        /// The offset of the structure in the table.
        offset: usize,
        /// The type.
        kind: u16,
    },
    /// A structure of a known type that is wrong and therefore left out.
    Ignored {
        /// The offset of the structure in the table.
        offset: usize,
        /// The reason.
        error: DmarError,
    },
}

/// Root ports that take translation requests (VT-d 8.5).
#[derive(Clone, Copy, Debug)]
pub struct Atsr<'a> {
    /// The offset of the structure in the table.
    pub offset: usize,
    /// ALL_PORTS: every root port of the segment takes translation requests.
    pub all_ports: bool,
    /// The segment.
    pub segment: Segment,
    /// The root ports.
    pub scopes: Scopes<'a>,
}

/// The proximity domain of a unit (VT-d 8.6).
#[derive(Clone, Copy, Debug)]
pub struct Rhsa {
    /// The offset of the structure in the table.
    pub offset: usize,
    /// The unit's register base.
    pub register_base: PhysAddr,
    /// The proximity domain, as the SRAT numbers it.
    pub proximity_domain: u32,
}

/// A device that has only an ACPI name (VT-d 8.7).
#[derive(Clone, Copy, Debug)]
pub struct Andd<'a> {
    /// The offset of the structure in the table.
    pub offset: usize,
    /// The number by which device scopes of type 5 refer to it.
    pub device_number: u8,
    /// The name, without its terminating zero; not necessarily text.
    pub name: &'a [u8],
}

/// Integrated devices with a device-TLB (VT-d 8.8).
#[derive(Clone, Copy, Debug)]
pub struct Satc<'a> {
    /// The offset of the structure in the table.
    pub offset: usize,
    /// ATC_REQUIRED: the devices need their device-TLB. In legacy mode, hardware enables it by
    /// itself, so that software need not do anything.
    pub atc_required: bool,
    /// The segment.
    pub segment: Segment,
    /// The devices.
    pub scopes: Scopes<'a>,
}

/// Properties of integrated devices (VT-d 8.9).
#[derive(Clone, Copy, Debug)]
pub struct Sidp<'a> {
    /// The offset of the structure in the table.
    pub offset: usize,
    /// The segment.
    pub segment: Segment,
    /// The devices; the flags of each scope hold its properties.
    pub scopes: Scopes<'a>,
}

impl<'a> Structure<'a> {
    /// Decodes the structure and checks what can be checked without the rest of the table.
    ///
    /// # Errors
    ///
    /// [`DmarError`] if a field is missing or has an invalid value.
    pub(super) fn decode(raw: RawStructure<'a>, host_bits: u32) -> Result<Self, DmarError> {
        match raw.kind {
            0 => Drhd::decode(raw, host_bits).map(Self::Drhd),
            1 => Rmrr::decode(raw, host_bits).map(Self::Rmrr),
            2 => Atsr::decode(raw).map(Self::Atsr),
            3 => Rhsa::decode(raw).map(Self::Rhsa),
            4 => Andd::decode(raw).map(Self::Andd),
            5 => Satc::decode(raw).map(Self::Satc),
            6 => Sidp::decode(raw).map(Self::Sidp),
            kind => Ok(Self::Unknown {
                offset: raw.offset,
                kind,
            }),
        }
    }
}

impl<'a> Atsr<'a> {
    fn decode(raw: RawStructure<'a>) -> Result<Self, DmarError> {
        Ok(Self {
            offset: raw.offset,
            all_ports: raw.require(raw.reader().u8(4))? & 1 != 0,
            segment: raw.segment()?,
            scopes: raw.scopes(8)?,
        })
    }
}

impl Rhsa {
    fn decode(raw: RawStructure<'_>) -> Result<Self, DmarError> {
        Ok(Self {
            offset: raw.offset,
            register_base: PhysAddr::new(raw.require(raw.reader().u64(8))?),
            proximity_domain: raw.require(raw.reader().u32(16))?,
        })
    }
}

impl<'a> Andd<'a> {
    fn decode(raw: RawStructure<'a>) -> Result<Self, DmarError> {
        let field = raw.require(raw.bytes.get(8..))?;
        let name = field.split(|byte| *byte == 0).next().unwrap_or(&[]);
        if name.is_empty() || name.len() == field.len() {
            let bytes = field.len();
            return Err(raw.error(Problem::NameUnterminated { bytes }));
        }
        Ok(Self {
            offset: raw.offset,
            device_number: raw.require(raw.reader().u8(7))?,
            name,
        })
    }
}

impl<'a> Satc<'a> {
    fn decode(raw: RawStructure<'a>) -> Result<Self, DmarError> {
        Ok(Self {
            offset: raw.offset,
            atc_required: raw.require(raw.reader().u8(4))? & 1 != 0,
            segment: raw.segment()?,
            scopes: raw.scopes(8)?,
        })
    }
}

impl<'a> Sidp<'a> {
    fn decode(raw: RawStructure<'a>) -> Result<Self, DmarError> {
        Ok(Self {
            offset: raw.offset,
            segment: raw.segment()?,
            scopes: raw.scopes(8)?,
        })
    }
}
