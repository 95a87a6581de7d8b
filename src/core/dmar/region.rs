// SPDX-License-Identifier: GPL-2.0

//! RMRR: memory that a device accesses before an operating system runs, and that must stay
//! identity-mapped for it (VT-d 8.4).

use super::error::{DmarError, Problem};
use super::raw::RawStructure;
use super::scope::Scopes;
use crate::spec::address::{PhysAddr, Segment, PAGE_SIZE};
use crate::spec::bits;

/// A reserved memory region that can be mapped.
#[derive(Clone, Copy, Debug)]
pub struct Rmrr<'a> {
    /// The offset of the structure in the table.
    pub offset: usize,
    /// The segment of the devices.
    pub segment: Segment,
    /// The first byte; a multiple of 4 KiB, not 0.
    pub base: PhysAddr,
    /// The last byte; one less than a multiple of 4 KiB.
    pub limit: PhysAddr,
    /// The devices.
    pub scopes: Scopes<'a>,
}

impl<'a> Rmrr<'a> {
    /// Decodes the structure and checks its bounds.
    ///
    /// # Errors
    ///
    /// [`DmarError`] if a field is missing, or if the region is empty, not made of whole pages, or
    /// beyond the host address width.
    pub(super) fn decode(raw: RawStructure<'a>, host_bits: u32) -> Result<Self, DmarError> {
        let region = Self {
            offset: raw.offset,
            segment: raw.segment()?,
            base: PhysAddr::new(raw.require(raw.reader().u64(8))?),
            limit: PhysAddr::new(raw.require(raw.reader().u64(16))?),
            scopes: raw.scopes(24)?,
        };
        let (base, limit) = (region.base, region.limit);
        let whole_pages = base.is_page_aligned() && limit.raw() % PAGE_SIZE == PAGE_SIZE - 1;
        if base.raw() == 0 || limit < base || !whole_pages {
            return Err(raw.error(Problem::RegionBounds { base, limit }));
        }
        if limit.raw() > bits::low_mask(host_bits) {
            return Err(raw.error(Problem::RegionBeyondHost { limit, host_bits }));
        }
        Ok(region)
    }

    /// Returns the length in bytes, a multiple of 4 KiB.
    pub fn bytes(&self) -> u64 {
        // Not the whole 64-bit space, since the base is not 0.
        self.limit
            .checked_offset_from(self.base)
            .map_or(0, |distance| distance + 1)
    }
}
