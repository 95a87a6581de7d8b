// SPDX-License-Identifier: GPL-2.0

//! DRHD: a remapping unit (VT-d 8.3).

use super::error::{DmarError, Problem};
use super::raw::RawStructure;
use super::scope::Scopes;
use crate::spec::address::{PhysAddr, Segment, PAGE_SIZE};
use crate::spec::bits;

/// A remapping unit, as firmware describes it.
#[derive(Clone, Copy, Debug)]
pub struct Drhd<'a> {
    /// The offset of the structure in the table.
    pub offset: usize,
    /// INCLUDE_PCI_ALL: the unit serves every PCI device of the segment that no other
    /// unit's scopes cover.
    pub include_all: bool,
    /// The segment whose devices the unit serves.
    pub segment: Segment,
    /// The first byte of the registers; a multiple of 4 KiB, not 0.
    pub register_base: PhysAddr,
    /// The bytes of register space that firmware set aside: `2^n` pages.
    pub register_bytes: u64,
    /// The byte that holds the size; its bits 7:4 are reserved.
    pub(super) size_field: u8,
    /// The devices that the structure names.
    pub scopes: Scopes<'a>,
}

impl<'a> Drhd<'a> {
    /// Decodes the structure and checks where its registers are.
    ///
    /// # Errors
    ///
    /// [`DmarError`] if a field is missing, or if the registers are at address 0, unaligned, or
    /// beyond the host address width.
    pub(super) fn decode(raw: RawStructure<'a>, host_bits: u32) -> Result<Self, DmarError> {
        let size_field = raw.require(raw.reader().u8(5))?;
        let unit = Self {
            offset: raw.offset,
            include_all: raw.require(raw.reader().u8(4))? & 1 != 0,
            segment: raw.segment()?,
            register_base: PhysAddr::new(raw.require(raw.reader().u64(8))?),
            register_bytes: PAGE_SIZE << (size_field & 0xf),
            size_field,
            scopes: raw.scopes(16)?,
        };
        let base = unit.register_base;
        if base.raw() == 0 || !base.is_page_aligned() {
            return Err(raw.error(Problem::RegisterBase { base }));
        }
        if unit
            .last()
            .is_none_or(|last| last > bits::low_mask(host_bits))
        {
            return Err(raw.error(Problem::RegistersBeyondHost { base, host_bits }));
        }
        Ok(unit)
    }

    /// Returns the last byte of the registers, or `None` if it is beyond 64 bits.
    fn last(&self) -> Option<u64> {
        self.register_base
            .raw()
            .checked_add(self.register_bytes - 1)
    }

    /// Returns whether `other` describes the same unit in the same way.
    pub(super) fn same(&self, other: &Self) -> bool {
        self.segment == other.segment
            && self.register_base == other.register_base
            && self.register_bytes == other.register_bytes
            && self.include_all == other.include_all
            && self.scopes.same(other.scopes)
    }

    /// Returns whether the registers of both units overlap.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        other
            .last()
            .is_none_or(|last| self.overlaps_range(other.register_base, PhysAddr::new(last)))
    }

    /// Returns whether a register lies within `first..=last`.
    pub(super) fn overlaps_range(&self, first: PhysAddr, last: PhysAddr) -> bool {
        self.last()
            .is_none_or(|end| self.register_base <= last && first.raw() <= end)
    }

    /// Returns an error for this structure as a whole.
    pub(super) const fn error(&self, problem: Problem) -> DmarError {
        DmarError::structure(self.offset, 0, problem)
    }
}
