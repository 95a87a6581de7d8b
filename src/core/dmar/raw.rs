// SPDX-License-Identifier: GPL-2.0

//! Iterates over the remapping structures of the table before their content is decoded (VT-d 8.2).

use super::bytes::Bytes;
use super::error::{DmarError, Problem};
use super::scope::Scopes;
use crate::spec::address::Segment;

/// The bytes of type and length.
const STRUCTURE_HEADER: usize = 4;

/// The structure type of a unit.
pub(super) const DRHD: u16 = 0;

/// The structure type of a reserved region.
pub(super) const RMRR: u16 = 1;

/// A structure whose bounds are known to lie in the table, but whose content is not decoded.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawStructure<'a> {
    /// The offset in the table.
    pub(super) offset: usize,
    /// The type.
    pub(super) kind: u16,
    /// All bytes, including type and length.
    pub(super) bytes: &'a [u8],
    /// Whether [decoding](super::Structure::decode) has succeeded before, if it is a unit.
    checked: bool,
}

/// An iterator over the structures from an offset to the end of the table, or to the zeroes after
/// the last structure. It ends after the first error.
#[derive(Clone, Debug)]
pub(super) struct RawStructures<'a> {
    table: &'a [u8],
    offset: usize,
    checked: bool,
}

impl<'a> RawStructures<'a> {
    /// Creates an iterator over a table of which only the header is checked.
    pub(super) const fn unchecked(table: &'a [u8], offset: usize) -> Self {
        Self {
            table,
            offset,
            checked: false,
        }
    }

    /// Creates an iterator over a table whose units were all decoded before without an error.
    pub(super) const fn checked(table: &'a [u8], offset: usize) -> Self {
        Self {
            table,
            offset,
            checked: true,
        }
    }
}

impl RawStructures<'_> {
    /// Returns the offset of the next structure.
    pub(super) const fn offset(&self) -> usize {
        self.offset
    }
}

impl<'a> Iterator for RawStructures<'a> {
    type Item = Result<RawStructure<'a>, DmarError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.table.get(self.offset..)?;
        if is_padding(rest) {
            return None;
        }
        let raw = RawStructure::first(rest, self.offset, self.checked);
        self.offset = match &raw {
            Ok(raw) => self.offset.saturating_add(raw.bytes.len()),
            Err(_) => usize::MAX,
        };
        Some(raw)
    }
}

impl<'a> RawStructure<'a> {
    /// Returns the structure at the start of `rest`, which is at `offset` in the table.
    fn first(rest: &'a [u8], offset: usize, checked: bool) -> Result<Self, DmarError> {
        let reader = Bytes::new(rest);
        let left = rest.len();
        let (Some(kind), Some(claimed)) = (reader.u16(0), reader.u16(2)) else {
            return Err(DmarError::table(offset, Problem::StructureHeader { left }));
        };
        let claimed = usize::from(claimed);
        let least = min_length(kind);
        if claimed < least {
            // The offset of the next structure is then unknown.
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

    /// Returns an error for this structure as a whole.
    pub(super) const fn error(&self, problem: Problem) -> DmarError {
        DmarError::structure(self.offset, self.kind, problem)
    }

    /// Returns `value`, which every structure of at least the minimum length has.
    ///
    /// # Errors
    ///
    /// [`Problem::StructureLength`] if `value` is [`None`].
    pub(super) fn require<T>(&self, value: Option<T>) -> Result<T, DmarError> {
        value.ok_or(self.error(Problem::StructureLength {
            claimed: self.bytes.len(),
            least: min_length(self.kind),
        }))
    }

    /// Returns a reader of the structure's bytes.
    pub(super) const fn reader(&self) -> Bytes<'a> {
        Bytes::new(self.bytes)
    }

    /// Returns the segment, which several types of structures have at the same offset.
    ///
    /// # Errors
    ///
    /// Those of [`Self::require`].
    pub(super) fn segment(&self) -> Result<Segment, DmarError> {
        self.require(self.reader().u16(6)).map(Segment::new)
    }

    /// Returns the device scopes from `start` to the end of the structure.
    ///
    /// # Errors
    ///
    /// [`Problem::StructureLength`] if the structure ends before `start`, or the error of
    /// [`Scopes::check`].
    pub(super) fn scopes(&self, start: usize) -> Result<Scopes<'a>, DmarError> {
        let bytes = self.require(self.bytes.get(start..))?;
        let offset = self.offset.saturating_add(start);
        if self.checked && self.kind == DRHD {
            return Ok(Scopes::checked(bytes, offset));
        }
        Scopes::check(bytes, offset, self.kind)
    }
}

/// Returns whether only zeroes are left: a type and a length of 0 are not a structure.
fn is_padding(rest: &[u8]) -> bool {
    rest.iter().all(|byte| *byte == 0)
}

/// Returns the number of bytes that a structure of this type has before its variable part.
const fn min_length(kind: u16) -> usize {
    match kind {
        0 => 16,
        1 => 24,
        2 | 5 | 6 => 8,
        3 => 20,
        4 => 10,
        _ => STRUCTURE_HEADER,
    }
}
