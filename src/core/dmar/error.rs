// SPDX-License-Identifier: GPL-2.0

//! The reasons why a DMAR table or a structure cannot be used.

use crate::spec::address::PhysAddr;
use core::fmt;

/// A problem of a table and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmarError {
    /// The offset in the table at which the problem starts.
    pub offset: usize,
    /// The type of the remapping structure with the problem, or `None` for the table's header.
    pub structure: Option<u16>,
    /// The problem.
    pub problem: Problem,
}

/// A problem of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The table is shorter than its header.
    TooShort {
        /// The length in bytes.
        found: usize,
    },
    /// The table does not start with "DMAR".
    Signature {
        /// The bytes at its start.
        found: [u8; 4],
    },
    /// The table claims more bytes than there are.
    Truncated {
        /// The length in the header.
        claimed: usize,
        /// The number of bytes that exist.
        found: usize,
    },
    /// The bytes of the table do not add up to 0.
    Checksum {
        /// Their sum.
        sum: u8,
    },
    /// Firmware forces DMA remapping off (DMAR_REMAP_OPT_OUT).
    RemappingOff {
        /// The table's flags.
        flags: u8,
    },
    /// The host address width is less than that of a page.
    HostWidth {
        /// The width in bits.
        bits: u32,
    },
    /// There is no remapping unit in the table.
    NoUnit,
    /// The table ends within the four bytes of type and length.
    StructureHeader {
        /// The bytes left.
        left: usize,
    },
    /// A structure is shorter than its type requires. With a length of 0, a walk would never end.
    StructureLength {
        /// The length in the structure.
        claimed: usize,
        /// The minimum length of its type.
        least: usize,
    },
    /// A structure ends beyond the table.
    StructureEnd {
        /// The length in the structure.
        claimed: usize,
        /// The bytes left in the table.
        left: usize,
    },
    /// A register base is 0 or not a multiple of 4 KiB.
    RegisterBase {
        /// The base.
        base: PhysAddr,
    },
    /// Registers lie beyond the host address width.
    RegistersBeyondHost {
        /// The base.
        base: PhysAddr,
        /// The host address width in bits.
        host_bits: u32,
    },
    /// Two units claim the same registers.
    UnitsOverlap {
        /// The base of this unit.
        base: PhysAddr,
        /// The base of the other one.
        other: PhysAddr,
        /// The offset of the other unit.
        other_offset: usize,
    },
    /// A unit is listed twice, with the same segment, registers, flags and devices.
    UnitRepeated {
        /// The offset of the first copy.
        first_offset: usize,
    },
    /// A region starts at 0, is not a whole number of pages, or ends before it starts.
    RegionBounds {
        /// The first byte.
        base: PhysAddr,
        /// The last byte.
        limit: PhysAddr,
    },
    /// A region lies beyond the host address width.
    RegionBeyondHost {
        /// The last byte.
        limit: PhysAddr,
        /// The host address width in bits.
        host_bits: u32,
    },
    /// A region would let devices write the registers of a unit.
    RegionOverRegisters {
        /// The first byte of the region.
        base: PhysAddr,
        /// Its last byte.
        limit: PhysAddr,
        /// The offset of the unit.
        unit_offset: usize,
    },
    /// The name of a namespace device has no end or is empty.
    NameUnterminated {
        /// The number of bytes that it may have.
        bytes: usize,
    },
    /// A device scope has an impossible length.
    ScopeLength {
        /// The length in the structure.
        claimed: usize,
        /// The bytes left in the structure.
        left: usize,
    },
    /// A device scope's path names a device above 31 or a function above 7.
    ScopePath {
        /// The device.
        device: u8,
        /// The function.
        function: u8,
    },
}

impl DmarError {
    /// Creates an error for a place in the table that is in no structure.
    pub(super) const fn table(offset: usize, problem: Problem) -> Self {
        Self {
            offset,
            structure: None,
            problem,
        }
    }

    /// Creates an error for a place in a structure of type `kind`.
    pub(super) const fn structure(offset: usize, kind: u16, problem: Problem) -> Self {
        Self {
            offset,
            structure: Some(kind),
            problem,
        }
    }
}

/// Returns the short name of a structure type.
pub(super) const fn structure_name(kind: u16) -> &'static str {
    match kind {
        0 => "DRHD",
        1 => "RMRR",
        2 => "ATSR",
        3 => "RHSA",
        4 => "ANDD",
        5 => "SATC",
        6 => "SIDP",
        _ => "unknown",
    }
}

impl fmt::Display for DmarError {
    /// Writes a sentence: the place, the problem, and what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DMAR table, offset {:#x}", self.offset)?;
        if let Some(kind) = self.structure {
            write!(f, ", {} structure (type {kind})", structure_name(kind))?;
        }
        write!(f, ": {}; ", self.problem)?;
        f.write_str(match self.problem {
            Problem::RemappingOff { .. } => "enable VT-d in the firmware's setup",
            _ => "update the firmware, or override the table (ACPI table upgrade)",
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { found } => {
                write!(f, "{found} bytes are too few for the table's header of 48")
            }
            Self::Signature { found } => {
                write!(
                    f,
                    "the signature is \"{}\", not \"DMAR\"",
                    found.escape_ascii()
                )
            }
            Self::Truncated { claimed, found } => {
                write!(f, "the table claims {claimed} bytes, but has {found}")
            }
            Self::Checksum { sum } => {
                write!(
                    f,
                    "the bytes add up to {sum:#x} instead of 0: the checksum is wrong"
                )
            }
            Self::RemappingOff { flags } => write!(
                f,
                "firmware forces DMA remapping off (DMAR_REMAP_OPT_OUT, 0x8 in flags of {flags:#x})"
            ),
            Self::HostWidth { bits } => {
                write!(
                    f,
                    "a host address width of {bits} bits is less than the 12 of a page"
                )
            }
            Self::NoUnit => f.write_str("the table has no remapping unit (DRHD)"),
            Self::StructureHeader { left } => {
                write!(f, "{left} bytes are left, too few for a type and a length")
            }
            Self::StructureLength { claimed, least } => {
                write!(
                    f,
                    "a length of {claimed} bytes is below the minimum of {least}"
                )
            }
            Self::StructureEnd { claimed, left } => {
                write!(f, "a length of {claimed} bytes, but only {left} are left")
            }
            _ => self.fmt_content(f),
        }
    }
}

impl Problem {
    /// Writes the problems of a structure's content, rather than of its size.
    fn fmt_content(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RegisterBase { base } => {
                write!(f, "register base {base} is 0 or not a multiple of 4096")
            }
            Self::RegistersBeyondHost { base, host_bits } => write!(
                f,
                "the registers at {base} end beyond the host's {host_bits}-bit addresses"
            ),
            Self::UnitsOverlap {
                base,
                other,
                other_offset,
            } => write!(
                f,
                "the registers at {base} overlap those at {other} of the unit at offset {other_offset:#x}"
            ),
            Self::UnitRepeated { first_offset } => {
                write!(f, "it repeats the unit at offset {first_offset:#x}")
            }
            Self::RegionBounds { base, limit } => {
                let wrong = if base.raw() == 0 {
                    "starts at page 0, which no device is given"
                } else if limit < base {
                    "ends before it starts"
                } else {
                    "is not a whole number of pages"
                };
                write!(f, "the reserved region {base}..={limit} {wrong}")
            }
            Self::RegionBeyondHost { limit, host_bits } => write!(
                f,
                "the reserved region's limit {limit} is beyond the host's {host_bits}-bit addresses"
            ),
            Self::RegionOverRegisters {
                base,
                limit,
                unit_offset,
            } => write!(
                f,
                "the reserved region {base}..={limit} covers registers of the unit at offset {unit_offset:#x}, which no device may reach"
            ),
            Self::NameUnterminated { bytes } => write!(
                f,
                "the device name of at most {bytes} bytes is empty or not terminated"
            ),
            Self::ScopeLength { claimed, left } => write!(
                f,
                "a device scope of {claimed} bytes with {left} left (it needs 6, and 2 per path \
                 entry, at least one)"
            ),
            Self::ScopePath { device, function } => write!(
                f,
                "a device scope names device {device:#x} function {function:#x}; the maximum is \
                 0x1f and 7"
            ),
            _ => f.write_str("unreadable"),
        }
    }
}
