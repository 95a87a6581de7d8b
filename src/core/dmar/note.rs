// SPDX-License-Identifier: GPL-2.0

//! What is odd about a table without making it unusable.

use super::error::structure_name;
use super::scope::{ScopeKind, Scopes};
use super::{Dmar, Drhd, Structure};
use crate::spec::address::{PhysAddr, Segment};
use core::fmt;

/// Something odd, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note<'a> {
    /// The byte of the table where it starts.
    pub offset: usize,
    /// What it is.
    pub kind: NoteKind<'a>,
}

/// Something odd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteKind<'a> {
    /// A structure of a type that this driver does not know was skipped.
    StructureSkipped(u16),
    /// A device scope of a type that this driver does not know was skipped.
    ScopeSkipped(u8),
    /// A structure that names devices names none.
    NamesNothing(u16),
    /// A unit with INCLUDE_PCI_ALL is not the last of its segment; named devices
    /// still go before it.
    IncludeAllNotLast(Segment),
    /// Reserved bits of a unit's size are set and were ignored.
    SizeReserved(u8),
    /// An affinity is given for a unit that does not exist.
    AffinityOfNothing(PhysAddr),
    /// An ACPI device is behind a unit; it is not a PCI device, so it stays blocked.
    NotServed(&'a [u8]),
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
            NoteKind::NamesNothing(kind) => {
                write!(f, "{} structure names no device", structure_name(kind))
            }
            NoteKind::IncludeAllNotLast(segment) => write!(
                f,
                "INCLUDE_PCI_ALL unit is not the last of segment {segment}; units that name their devices still go first"
            ),
            NoteKind::SizeReserved(size) => {
                write!(f, "reserved bits of the register size {size:#x} ignored")
            }
            NoteKind::AffinityOfNothing(base) => {
                write!(f, "RHSA structure for {base}, where no unit is, ignored")
            }
            NoteKind::NotServed(name) => write!(
                f,
                "ACPI device {} is not served: DMA of devices other than PCI's stays blocked",
                Name(name)
            ),
        }
    }
}

/// A name that should be text, and may be anything.
struct Name<'a>(&'a [u8]);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| match byte {
            b'!'..=b'~' => write!(f, "{}", char::from(*byte)),
            other => write!(f, "\\x{other:02x}"),
        })
    }
}

impl<'a> Dmar<'a> {
    /// Calls `tell` with everything that is odd about the table, in its order.
    pub fn notes(&self, mut tell: impl FnMut(Note<'a>)) {
        for structure in self.structures() {
            self.notes_of(structure, &mut tell);
        }
    }

    fn notes_of(&self, structure: Structure<'a>, tell: &mut impl FnMut(Note<'a>)) {
        match structure {
            Structure::Drhd(unit) => self.notes_of_unit(&unit, tell),
            Structure::Rmrr(it) => notes_of_scopes(it.offset, 1, it.scopes, false, tell),
            Structure::Atsr(it) => notes_of_scopes(it.offset, 2, it.scopes, it.all_ports, tell),
            Structure::Rhsa(it) => {
                if !self
                    .units()
                    .any(|unit| unit.register_base == it.register_base)
                {
                    tell(Note {
                        offset: it.offset,
                        kind: NoteKind::AffinityOfNothing(it.register_base),
                    });
                }
            }
            Structure::Andd(it) => tell(Note {
                offset: it.offset,
                kind: NoteKind::NotServed(it.name),
            }),
            Structure::Satc(it) => notes_of_scopes(it.offset, 5, it.scopes, false, tell),
            Structure::Sidp(it) => notes_of_scopes(it.offset, 6, it.scopes, false, tell),
            Structure::Unknown { offset, kind } => tell(Note {
                offset,
                kind: NoteKind::StructureSkipped(kind),
            }),
        }
    }

    fn notes_of_unit(&self, unit: &Drhd<'a>, tell: &mut impl FnMut(Note<'a>)) {
        let offset = unit.offset;
        if unit.size_field > 0xf {
            let kind = NoteKind::SizeReserved(unit.size_field);
            tell(Note { offset, kind });
        }
        let later = |other: &Drhd<'a>| other.offset > offset && other.segment == unit.segment;
        if unit.include_all && self.units().any(|other| later(&other)) {
            let kind = NoteKind::IncludeAllNotLast(unit.segment);
            tell(Note { offset, kind });
        }
        notes_of_scopes(offset, 0, unit.scopes, unit.include_all, tell);
    }
}

fn notes_of_scopes<'a>(
    offset: usize,
    kind: u16,
    scopes: Scopes<'a>,
    may_be_empty: bool,
    tell: &mut impl FnMut(Note<'a>),
) {
    if scopes.is_empty() && !may_be_empty {
        let kind = NoteKind::NamesNothing(kind);
        tell(Note { offset, kind });
    }
    for scope in scopes {
        if let ScopeKind::Unknown(code) = scope.kind {
            tell(Note {
                offset: scope.offset,
                kind: NoteKind::ScopeSkipped(code),
            });
        }
    }
}
