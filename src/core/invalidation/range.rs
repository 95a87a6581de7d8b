// SPDX-License-Identifier: GPL-2.0

//! The IOTLB invalidations for a range of addresses.

use crate::spec::address::{DomainId, Iova, PAGE_SHIFT};
use crate::spec::capability::Capability;
use crate::spec::scope::{IotlbScope, PageBlock};

/// A range of addresses whose page-table entries were changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InvalidationRange {
    first: Iova,
    last: Iova,
    /// Whether table pages were detached, so that cached non-leaf entries must be invalidated too.
    tables_freed: bool,
}

impl InvalidationRange {
    /// All addresses, cached non-leaf entries included.
    pub const ALL: Self = Self {
        first: Iova::new(0),
        last: Iova::new(u64::MAX),
        tables_freed: true,
    };

    /// Creates the range `first..=last`, or returns `None` if `last` is below `first`.
    ///
    /// `tables_freed` is true if a table page within the range was detached or replaced.
    #[inline]
    pub const fn new(first: Iova, last: Iova, tables_freed: bool) -> Option<Self> {
        if last.raw() < first.raw() {
            return None;
        }
        Some(Self {
            first,
            last,
            tables_freed,
        })
    }

    /// Creates the range of `len` bytes from `first` on, or returns `None` if it is empty or extends
    /// beyond the largest address.
    pub fn of(first: Iova, len: u64, tables_freed: bool) -> Option<Self> {
        let last = first.raw().checked_add(len.checked_sub(1)?)?;
        Self::new(first, Iova::new(last), tables_freed)
    }

    /// Returns the smallest block that contains the range; all addresses if no smaller one does.
    pub fn block(self) -> PageBlock {
        PageBlock::covering(self.first, self.last).unwrap_or(PageBlock::ALL)
    }

    /// Returns the same range with cached non-leaf entries included.
    pub(super) const fn with_tables_freed(self) -> Self {
        Self {
            tables_freed: true,
            ..self
        }
    }
}

/// The IOTLB invalidations for a range of a domain; at least one.
#[derive(Clone, Debug)]
pub struct IotlbScopes {
    domain: DomainId,
    leaves_only: bool,
    remaining: RemainingBlocks,
}

#[derive(Clone, Debug)]
enum RemainingBlocks {
    /// Everything of the domain.
    Domain,
    /// One block.
    Block(PageBlock),
    /// The blocks that make up `next..=last` exactly, none larger than `2^max_mask` pages.
    Exact {
        next: Iova,
        last: Iova,
        max_mask: u8,
    },
    Nothing,
}

/// Returns the IOTLB invalidations that cover `range` of `domain`.
///
/// Covers exactly the range if that takes at most `budget` invalidations. Otherwise returns one
/// block that contains the range, if the unit can invalidate a block that large, or else the whole
/// domain. A budget of 1 costs least where an invalidation is more expensive than the additional
/// IOTLB misses after a larger one.
pub fn cover_range(
    cap: Capability,
    domain: DomainId,
    range: InvalidationRange,
    budget: u32,
) -> IotlbScopes {
    IotlbScopes {
        domain,
        leaves_only: !range.tables_freed,
        remaining: plan_cover(cap, range, budget),
    }
}

/// The range invalidation of one unit: everything that depends only on its capabilities is computed
/// once.
#[derive(Clone, Copy, Debug)]
pub struct RangeInvalidator {
    /// One more than the largest address mask; 0 if the unit cannot drop single pages.
    masks: u8,
}

impl RangeInvalidator {
    /// Creates the invalidator of a unit with capabilities `cap`.
    pub fn new(cap: Capability) -> Self {
        Self {
            masks: if cap.page_selective() {
                cap.max_address_mask().saturating_add(1)
            } else {
                0
            },
        }
    }

    /// Returns what [`cover_range`] returns for a budget of 1, computed in one step.
    #[inline(always)]
    pub fn scope(&self, domain: DomainId, range: InvalidationRange) -> IotlbScope {
        match PageBlock::covering(range.first, range.last) {
            Some(block) if block.address_mask() < self.masks => IotlbScope::Pages {
                domain,
                block,
                leaves_only: !range.tables_freed,
            },
            _ => IotlbScope::Domain(domain),
        }
    }
}

fn plan_cover(cap: Capability, range: InvalidationRange, budget: u32) -> RemainingBlocks {
    if !cap.page_selective() {
        return RemainingBlocks::Domain;
    }
    let max_mask = cap.max_address_mask();
    let exact = RemainingBlocks::Exact {
        next: range.first.page(),
        last: range.last,
        max_mask,
    };
    if takes_at_most(exact.clone(), budget) {
        return exact;
    }
    match PageBlock::covering(range.first, range.last) {
        Some(block) if block.address_mask() <= max_mask => RemainingBlocks::Block(block),
        _ => RemainingBlocks::Domain,
    }
}

fn takes_at_most(mut remaining: RemainingBlocks, budget: u32) -> bool {
    for _ in 0..budget {
        if remaining.take_block().is_none() {
            return true;
        }
    }
    remaining.take_block().is_none()
}

impl RemainingBlocks {
    fn take_block(&mut self) -> Option<PageBlock> {
        match *self {
            Self::Domain | Self::Nothing => None,
            Self::Block(block) => {
                *self = Self::Nothing;
                Some(block)
            }
            Self::Exact {
                next,
                last,
                max_mask,
            } => {
                let block = first_block(next, last, max_mask)?;
                *self = match block.last().checked_add(1) {
                    Some(next) if next <= last => Self::Exact {
                        next,
                        last,
                        max_mask,
                    },
                    _ => Self::Nothing,
                };
                Some(block)
            }
        }
    }
}

/// Returns the largest block that starts at the page `next` and does not extend beyond the page of
/// `last`.
fn first_block(next: Iova, last: Iova, max_mask: u8) -> Option<PageBlock> {
    let more = last.page().checked_offset_from(next)?;
    // Not 0, unless the range is all of the 64-bit space, which no table spans.
    let pages = (more >> PAGE_SHIFT).checked_add(1)?;
    let fits = pages.ilog2();
    let aligned = (next.raw() >> PAGE_SHIFT)
        .trailing_zeros()
        .min(u64::BITS - PAGE_SHIFT);
    let mask = fits.min(aligned).min(u32::from(max_mask));
    PageBlock::new(next, u8::try_from(mask).ok()?)
}

impl Iterator for IotlbScopes {
    type Item = IotlbScope;

    fn next(&mut self) -> Option<IotlbScope> {
        if let RemainingBlocks::Domain = self.remaining {
            self.remaining = RemainingBlocks::Nothing;
            return Some(IotlbScope::Domain(self.domain));
        }
        let block = self.remaining.take_block()?;
        Some(IotlbScope::Pages {
            domain: self.domain,
            block,
            leaves_only: self.leaves_only,
        })
    }
}
