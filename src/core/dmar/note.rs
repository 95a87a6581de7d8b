// SPDX-License-Identifier: GPL-2.0

//! Notes: what is unusual in a table but does not make it unusable.

use super::bytes::Bytes;
use super::device_scope::{DeviceScope, ScopeKind, Scopes};
use super::error::{structure_name, Problem};
use super::raw::{DRHD, RMRR};
use super::structure::Andd;
use super::{Dmar, DmarError, Drhd, Structure, WIDTH_OFFSET};
use crate::spec::address::{PhysAddr, Segment};
use core::fmt;

/// An unusual or wrong part of a usable table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note<'a> {
    /// The offset in the table at which it starts.
    pub offset: usize,
    /// The kind.
    pub kind: NoteKind<'a>,
}

/// The kind of a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteKind<'a> {
    /// A structure of a type that this driver does not know was skipped.
    StructureSkipped(u16),
    /// A device scope of a type that this driver does not know was skipped.
    ScopeSkipped(u8),
    /// A structure that names devices names none.
    NamesNoDevice(u16),
    /// A unit with INCLUDE_PCI_ALL is not the last of its segment. Units that name a device still
    /// take precedence.
    IncludeAllNotLast(Segment),
    /// Reserved bits of a unit's size are set and were ignored.
    SizeReserved(u8),
    /// An RHSA structure names a unit that does not exist.
    AffinityOfUnknownUnit(PhysAddr),
    /// A second unit of a segment has INCLUDE_PCI_ALL; the first one serves the devices.
    SecondIncludeAll {
        /// The segment.
        segment: Segment,
        /// The offset of the first one.
        first_offset: usize,
    },
    /// A structure is wrong, and the table is used without it.
    Ignored(DmarError),
    /// A scope that names no PCI function is wrong. The driver does not use such scopes.
    ScopeWrong(ScopeKind, Problem),
    /// The last bytes of the table are zeroes.
    Padding(usize),
    /// The host address width is this many bits, more than an address has.
    HostWidth(u32),
    /// An ACPI device is behind a unit; only PCI functions are served.
    NotServed {
        /// The name of the device.
        name: &'a [u8],
        /// The segment and the scope that locate it, if a unit names it.
        at: Option<(Segment, DeviceScope<'a>)>,
    },
}

impl Note<'_> {
    /// Returns whether the table is wrong there, and not only unusual.
    pub const fn is_wrong(&self) -> bool {
        match self.kind {
            NoteKind::StructureSkipped(_)
            | NoteKind::ScopeSkipped(_)
            | NoteKind::NamesNoDevice(_)
            | NoteKind::IncludeAllNotLast(_)
            | NoteKind::NotServed { .. } => false,
            NoteKind::SizeReserved(_)
            | NoteKind::AffinityOfUnknownUnit(_)
            | NoteKind::SecondIncludeAll { .. }
            | NoteKind::Ignored(_)
            | NoteKind::ScopeWrong(..)
            | NoteKind::Padding(_)
            | NoteKind::HostWidth(_) => true,
        }
    }
}

impl fmt::Display for Note<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DMAR table, offset {:#x}: ", self.offset)?;
        match self.kind {
            NoteKind::StructureSkipped(kind) => {
                write!(f, "structure of unknown type {kind} skipped")
            }
            NoteKind::ScopeSkipped(kind) => {
                write!(f, "device scope of unknown type {kind} skipped")
            }
            NoteKind::NamesNoDevice(kind) => {
                write!(f, "{} structure names no device", structure_name(kind))
            }
            NoteKind::IncludeAllNotLast(segment) => write!(
                f,
                "INCLUDE_PCI_ALL unit is not the last of segment {segment}; units that name their \
                 devices still take precedence"
            ),
            NoteKind::SizeReserved(size) => {
                write!(f, "reserved bits of the register size {size:#x} ignored")
            }
            NoteKind::AffinityOfUnknownUnit(base) => {
                write!(
                    f,
                    "RHSA structure for {base}, where there is no unit, ignored"
                )
            }
            _ => self.fmt_more(f),
        }
    }
}

impl Note<'_> {
    fn fmt_more(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            NoteKind::SecondIncludeAll { segment, first_offset } => write!(
                f,
                "second INCLUDE_PCI_ALL unit of segment {segment}; the unit at offset {first_offset:#x} serves the devices that no unit names"
            ),
            NoteKind::Ignored(error) => {
                let name = structure_name(error.structure.unwrap_or(u16::MAX));
                write!(f, "{name} structure ignored: {}", error.problem)
            }
            NoteKind::ScopeWrong(kind, problem) => {
                write!(f, "{kind} scope, which is not used, is invalid: {problem}")
            }
            NoteKind::Padding(bytes) => {
                write!(f, "the last {bytes} bytes of the table are 0 and were ignored")
            }
            NoteKind::HostWidth(bits) => {
                write!(f, "a host address width of {bits} bits is taken as 64")
            }
            NoteKind::NotServed { name, at: None } => write!(
                f,
                "DMA of ACPI device {} stays blocked: only PCI functions are supported",
                PrintableName(name)
            ),
            NoteKind::NotServed { name, at: Some((segment, scope)) } => {
                write!(
                    f,
                    "DMA of ACPI device {} stays blocked unless it is the PCI function {segment}:{:02x}",
                    PrintableName(name),
                    scope.start_bus
                )?;
                let mut separator = ':';
                scope.path().try_for_each(|(device, function)| {
                    let before = core::mem::replace(&mut separator, '-');
                    write!(f, "{before}{device:02x}.{function:x}")
                })
            }
            _ => f.write_str("unreadable"),
        }
    }
}

/// A name that should be text but may hold any bytes.
struct PrintableName<'a>(&'a [u8]);

impl fmt::Display for PrintableName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| match byte {
            b'!'..=b'~' => write!(f, "{}", char::from(*byte)),
            other => write!(f, "\\x{other:02x}"),
        })
    }
}

impl<'a> Dmar<'a> {
    /// Calls `report` with every note about the table, in the table's order.
    pub fn notes(&self, mut report: impl FnMut(Note<'a>)) {
        let bits = Bytes::new(self.table).u8(WIDTH_OFFSET).map_or(0, u32::from) + 1;
        if bits > self.host_bits() {
            let kind = NoteKind::HostWidth(bits);
            let offset = WIDTH_OFFSET;
            report(Note { offset, kind });
        }
        for structure in self.structures() {
            self.notes_of(structure, &mut report);
        }
        let offset = self.info.length;
        let padding = self.info.claimed.saturating_sub(offset);
        if padding > 0 {
            let kind = NoteKind::Padding(padding);
            report(Note { offset, kind });
        }
    }

    fn notes_of(&self, structure: Structure<'a>, report: &mut impl FnMut(Note<'a>)) {
        match structure {
            Structure::Drhd(unit) => self.notes_of_unit(&unit, report),
            Structure::Rmrr(it) => notes_of_scopes(it.offset, RMRR, it.scopes, false, report),
            Structure::Atsr(it) => notes_of_scopes(it.offset, 2, it.scopes, it.all_ports, report),
            Structure::Rhsa(it) => {
                if !self
                    .listed_units()
                    .any(|unit| unit.register_base == it.register_base)
                {
                    report(Note {
                        offset: it.offset,
                        kind: NoteKind::AffinityOfUnknownUnit(it.register_base),
                    });
                }
            }
            Structure::Andd(it) => report(Note {
                offset: it.offset,
                kind: NoteKind::NotServed {
                    name: it.name,
                    at: self.location_of(&it),
                },
            }),
            Structure::Satc(it) => notes_of_scopes(it.offset, 5, it.scopes, false, report),
            Structure::Sidp(it) => notes_of_scopes(it.offset, 6, it.scopes, false, report),
            Structure::Unknown { offset, kind } => report(Note {
                offset,
                kind: NoteKind::StructureSkipped(kind),
            }),
            Structure::Ignored { error, .. } => report(Note {
                offset: error.offset,
                kind: NoteKind::Ignored(error),
            }),
        }
    }

    fn notes_of_unit(&self, unit: &Drhd<'a>, report: &mut impl FnMut(Note<'a>)) {
        let offset = unit.offset;
        if unit.size_field > 0xf {
            let kind = NoteKind::SizeReserved(unit.size_field);
            report(Note { offset, kind });
        }
        if unit.include_all {
            self.notes_of_include_all(unit, report);
        }
        notes_of_scopes(offset, DRHD, unit.scopes, unit.include_all, report);
    }

    /// Reports how a unit with INCLUDE_PCI_ALL conflicts with other units of its segment.
    fn notes_of_include_all(&self, unit: &Drhd<'a>, report: &mut impl FnMut(Note<'a>)) {
        let (offset, segment) = (unit.offset, unit.segment);
        let others = || self.units().filter(|other| other.segment == segment);
        let first = others().find(|other| other.include_all);
        if let Some(first) = first.filter(|first| first.offset != offset) {
            let first_offset = first.offset;
            let kind = NoteKind::SecondIncludeAll {
                segment,
                first_offset,
            };
            report(Note { offset, kind });
        }
        if others().any(|other| other.offset > offset && !other.include_all) {
            let kind = NoteKind::IncludeAllNotLast(segment);
            report(Note { offset, kind });
        }
    }

    /// Returns the location of an ACPI device according to the scopes of the units.
    fn location_of(&self, device: &Andd<'a>) -> Option<(Segment, DeviceScope<'a>)> {
        let number = device.device_number;
        self.listed_units().find_map(|unit| {
            unit.scopes
                .into_iter()
                .find(|scope| {
                    scope.kind == ScopeKind::Namespace
                        && scope.enumeration_id == number
                        && scope.problem().is_none()
                })
                .map(|scope| (unit.segment, scope))
        })
    }
}

fn notes_of_scopes<'a>(
    offset: usize,
    kind: u16,
    scopes: Scopes<'a>,
    may_be_empty: bool,
    report: &mut impl FnMut(Note<'a>),
) {
    if scopes.is_empty() && !may_be_empty {
        let kind = NoteKind::NamesNoDevice(kind);
        report(Note { offset, kind });
    }
    for scope in scopes {
        let kind = match (scope.kind, scope.problem()) {
            (ScopeKind::Unknown(code), _) => NoteKind::ScopeSkipped(code),
            (kind, Some(problem)) => NoteKind::ScopeWrong(kind, problem),
            _ => continue,
        };
        report(Note {
            offset: scope.offset,
            kind,
        });
    }
}
