// SPDX-License-Identifier: GPL-2.0

//! Device scopes: how a structure names devices (VT-d 8.3.1).
//!
//! A scope names a device by the bus where its path starts and by the device and function of every
//! bridge on the path, because the operating system assigns the numbers of the buses behind
//! bridges.

use super::bytes::Bytes;
use super::error::{DmarError, Problem};
use crate::spec::address::{Segment, SourceId};
use core::fmt;

/// The bytes of a scope before its path.
const SCOPE_HEADER: usize = 6;

/// The kind of device that a scope names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScopeKind {
    /// Type 1: one PCI function.
    Endpoint,
    /// Type 2: a PCI bridge and everything below it.
    Bridge,
    /// Type 3: an IOAPIC; the enumeration id is its APIC id.
    IoApic,
    /// Type 4: an HPET that can send MSIs; the enumeration id is its HPET number.
    Hpet,
    /// Type 5: a device of an ANDD structure; the enumeration id is its number.
    Namespace,
    /// A type that this driver does not know.
    Unknown(u8),
}

impl ScopeKind {
    const fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Endpoint,
            2 => Self::Bridge,
            3 => Self::IoApic,
            4 => Self::Hpet,
            5 => Self::Namespace,
            other => Self::Unknown(other),
        }
    }

    /// Returns whether the scope names PCI functions; the driver uses no other scopes.
    pub const fn is_pci(self) -> bool {
        matches!(self, Self::Endpoint | Self::Bridge)
    }
}

impl fmt::Display for ScopeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint => f.write_str("endpoint"),
            Self::Bridge => f.write_str("bridge"),
            Self::IoApic => f.write_str("IOAPIC"),
            Self::Hpet => f.write_str("HPET"),
            Self::Namespace => f.write_str("ACPI device"),
            Self::Unknown(code) => write!(f, "scope of unknown type {code}"),
        }
    }
}

/// One device scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceScope<'a> {
    /// The offset of the scope in the table.
    pub offset: usize,
    /// The kind of device.
    pub kind: ScopeKind,
    /// The flags; only SIDP structures use them.
    pub flags: u8,
    /// The number of an IOAPIC, HPET or ACPI device.
    pub enumeration_id: u8,
    /// The bus where the path starts.
    pub start_bus: u8,
    path: &'a [u8],
    /// The number of bytes in the structure from this scope on.
    left: usize,
}

impl<'a> DeviceScope<'a> {
    /// Returns the path, as (device, function) from the start bus to the named device.
    ///
    /// If the scope [names PCI functions](ScopeKind::is_pci), the path has at least one hop, no
    /// device above 31 and no function above 7.
    pub fn path(&self) -> impl Iterator<Item = (u8, u8)> + use<'a> {
        self.path.chunks_exact(2).filter_map(|hop| match hop {
            [device, function] => Some((*device, *function)),
            _ => None,
        })
    }

    /// Returns the number of hops in the path.
    pub const fn hops(&self) -> usize {
        self.path.len() / 2
    }

    /// Returns the problem of the path, if there is one.
    pub(super) fn problem(&self) -> Option<Problem> {
        if self.path.is_empty() || self.path.len() % 2 != 0 {
            return Some(Problem::ScopeLength {
                claimed: SCOPE_HEADER.saturating_add(self.path.len()),
                left: self.left,
            });
        }
        self.path()
            .find(|(device, function)| *device > 31 || *function > 7)
            .map(|(device, function)| Problem::ScopePath { device, function })
    }

    /// Returns the source-id of the named device on this machine.
    ///
    /// `secondary_bus` returns the bus behind a bridge. The result is `None` if it returns `None`
    /// for a bridge on the path.
    pub fn resolve(
        &self,
        segment: Segment,
        secondary_bus: impl Fn(Segment, SourceId) -> Option<u8>,
    ) -> Option<SourceId> {
        let mut bus = self.start_bus;
        let mut here = None;
        for (device, function) in self.path() {
            if let Some(bridge) = here {
                bus = secondary_bus(segment, bridge)?;
            }
            here = Some(SourceId::new(bus, device, function)?);
        }
        here
    }

    /// Returns whether the scope names the last device of `chain`, or a bridge above it.
    ///
    /// `chain` is the path to a device in its segment: the functions from the root bus down,
    /// bridges first, the device itself last. The value is the number of functions from the top of
    /// the chain to the named one: the larger, the closer the scope is to the device.
    pub fn covers(&self, chain: &[SourceId]) -> Option<usize> {
        if !self.kind.is_pci() {
            return None;
        }
        let start = chain
            .iter()
            .position(|function| function.bus() == self.start_bus)?;
        let end = start.checked_add(self.hops())?;
        let named = chain.get(start..end)?;
        let same = named
            .iter()
            .zip(self.path())
            .all(|(function, hop)| (function.device(), function.function()) == hop);
        let below = self.kind == ScopeKind::Bridge || end == chain.len();
        (same && below && !named.is_empty()).then_some(end)
    }
}

/// The device scopes of a structure; all scopes that name PCI functions have been checked.
#[derive(Clone, Copy, Debug)]
pub struct Scopes<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Scopes<'a> {
    /// Checks the scopes in `bytes`, which are at `offset` in the table.
    ///
    /// # Errors
    ///
    /// [`DmarError`] at the first scope that is too short, that does not fit, or that names PCI
    /// functions by an invalid path.
    pub(super) fn check(bytes: &'a [u8], offset: usize, kind: u16) -> Result<Self, DmarError> {
        let mut left = Self { bytes, offset };
        while !left.bytes.is_empty() {
            let place = left.offset;
            let scope = left
                .take_first()
                .map_err(|problem| DmarError::structure(place, kind, problem))?;
            if let Some(problem) = scope.problem().filter(|_| scope.kind.is_pci()) {
                return Err(DmarError::structure(place, kind, problem));
            }
        }
        Ok(Self::checked(bytes, offset))
    }

    /// Creates the scopes that [`Self::check`] has accepted before.
    pub(super) const fn checked(bytes: &'a [u8], offset: usize) -> Self {
        Self { bytes, offset }
    }

    /// Returns whether these and `other` are the same scopes in the same order.
    pub(super) fn same(self, other: Self) -> bool {
        self.bytes == other.bytes
    }

    /// Returns whether there are no scopes.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Returns the scopes in the table's order.
    pub fn iter(&self) -> ScopeIter<'a> {
        ScopeIter { left: *self }
    }

    /// Returns the value of [`DeviceScope::covers`] for the scope that is closest to the last
    /// device of `chain`, if any scope covers it.
    pub fn covers(&self, chain: &[SourceId]) -> Option<usize> {
        self.iter().filter_map(|scope| scope.covers(chain)).max()
    }

    fn take_first(&mut self) -> Result<DeviceScope<'a>, Problem> {
        let left = self.bytes.len();
        let reader = Bytes::new(self.bytes);
        let (Some(kind), Some(length), Some(flags), Some(enumeration_id), Some(start_bus)) = (
            reader.u8(0),
            reader.u8(1),
            reader.u8(2),
            reader.u8(4),
            reader.u8(5),
        ) else {
            let claimed = usize::from(reader.u8(1).unwrap_or(0));
            return Err(Problem::ScopeLength { claimed, left });
        };
        let claimed = usize::from(length);
        let wrong_length = Problem::ScopeLength { claimed, left };
        let path = self.bytes.get(SCOPE_HEADER..claimed).ok_or(wrong_length)?;
        let rest = self.bytes.get(claimed..).ok_or(wrong_length)?;
        let scope = DeviceScope {
            offset: self.offset,
            kind: ScopeKind::from_code(kind),
            flags,
            enumeration_id,
            start_bus,
            path,
            left,
        };
        self.bytes = rest;
        self.offset = self.offset.saturating_add(claimed);
        Ok(scope)
    }
}

/// The device scopes of a structure, one after another.
#[derive(Clone, Debug)]
pub struct ScopeIter<'a> {
    left: Scopes<'a>,
}

impl<'a> Iterator for ScopeIter<'a> {
    type Item = DeviceScope<'a>;

    fn next(&mut self) -> Option<DeviceScope<'a>> {
        // Cannot fail before the end: `Scopes::check` has done the same walk.
        self.left.take_first().ok()
    }
}

impl<'a> IntoIterator for Scopes<'a> {
    type Item = DeviceScope<'a>;
    type IntoIter = ScopeIter<'a>;

    fn into_iter(self) -> ScopeIter<'a> {
        self.iter()
    }
}
