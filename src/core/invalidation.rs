// SPDX-License-Identifier: GPL-2.0

//! What to invalidate after tables have changed: ranges and entries in, the fewest
//! invalidations out.
//!
//! Hardware caches context entries, table entries and translations, tagged with
//! domain-ids (VT-d 6.2), and looks at memory again only for what it was told to drop.
//! Everything in here says what to tell it and in which order; telling it, and waiting,
//! is the caller's.

use crate::spec::address::{DomainId, Iova, SourceId, PAGE_SHIFT};
use crate::spec::capability::Capability;
use crate::spec::descriptor::IotlbWords;
use crate::spec::scope::{ContextScope, Drain, FunctionMask, IotlbScope, PageBlock};

/// Where caching mode tags what is not present (VT-d 6.1).
const ABSENT_DOMAIN: DomainId = DomainId::new(0);

/// A range of addresses whose table entries were changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Range {
    first: Iova,
    last: Iova,
    /// Whether table pages were detached, so that cached non-leaf entries must go, too.
    tables_freed: bool,
}

impl Range {
    /// The range `first..=last`, or `None` if `last` is below `first`.
    ///
    /// `tables_freed` if a table page within it was detached or replaced.
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
}

/// The invalidations that drop a range of a domain; at least one.
#[derive(Clone, Debug)]
pub struct IotlbScopes {
    domain: DomainId,
    leaves_only: bool,
    left: Left,
}

#[derive(Clone, Debug)]
enum Left {
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

/// The invalidations that make a unit forget `range` of `domain`.
///
/// The range is met exactly if that takes at most `budget` invalidations; else one block
/// that covers it, if the unit can drop one that large; else the whole domain. A budget of
/// 1 costs least where an invalidation costs more than what it drops in excess.
pub fn forget_range(cap: Capability, domain: DomainId, range: Range, budget: u32) -> IotlbScopes {
    IotlbScopes {
        domain,
        leaves_only: !range.tables_freed,
        left: cover(cap, range, budget),
    }
}

/// What [`forget_range`] says for a budget of 1, computed at once.
#[inline]
pub fn forget_range_at_once(cap: Capability, domain: DomainId, range: Range) -> IotlbScope {
    match PageBlock::covering(range.first, range.last) {
        Some(block) if cap.page_selective() && block.address_mask() <= cap.max_address_mask() => {
            IotlbScope::Pages {
                domain,
                block,
                leaves_only: !range.tables_freed,
            }
        }
        _ => IotlbScope::Domain(domain),
    }
}

/// How one unit is made to forget ranges, with what its capabilities decide worked out once.
#[derive(Clone, Copy, Debug)]
pub struct Forgetting {
    words: IotlbWords,
    /// One more than the largest address mask; 0 if the unit cannot drop single pages.
    masks: u8,
}

impl Forgetting {
    /// For a unit with capabilities `cap`, draining all that it can.
    pub fn new(cap: Capability) -> Self {
        Self {
            words: IotlbWords::new(Drain::of(cap)),
            masks: if cap.page_selective() {
                cap.max_address_mask().saturating_add(1)
            } else {
                0
            },
        }
    }

    /// The descriptor of what [`forget_range_at_once`] says, and whether that is of pages only.
    #[inline(always)]
    pub fn words(&self, domain: DomainId, range: Range) -> ([u64; 2], bool) {
        match PageBlock::covering(range.first, range.last) {
            Some(block) if block.address_mask() < self.masks => {
                (self.words.pages(domain, block, !range.tables_freed), true)
            }
            _ => (self.words.domain(domain), false),
        }
    }
}

fn cover(cap: Capability, range: Range, budget: u32) -> Left {
    if !cap.page_selective() {
        return Left::Domain;
    }
    let max_mask = cap.max_address_mask();
    let exact = Left::Exact {
        next: range.first.page(),
        last: range.last,
        max_mask,
    };
    if takes_at_most(exact.clone(), budget) {
        return exact;
    }
    match PageBlock::covering(range.first, range.last) {
        Some(block) if block.address_mask() <= max_mask => Left::Block(block),
        _ => Left::Domain,
    }
}

fn takes_at_most(mut left: Left, budget: u32) -> bool {
    for _ in 0..budget {
        if left.take_block().is_none() {
            return true;
        }
    }
    left.take_block().is_none()
}

impl Left {
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

/// The largest block that starts at the page `next` and does not reach beyond the page of `last`.
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
        if let Left::Domain = self.left {
            self.left = Left::Nothing;
            return Some(IotlbScope::Domain(self.domain));
        }
        let block = self.left.take_block()?;
        Some(IotlbScope::Pages {
            domain: self.domain,
            block,
            leaves_only: self.leaves_only,
        })
    }
}

/// Something to be done after tables have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Flush the unit's write buffer (`GCMD.WBF`), so that it sees what was written.
    FlushWriteBuffer,
    /// Drop context entries.
    Context(ContextScope),
    /// Drop translations.
    Iotlb(IotlbScope),
}

/// Up to three steps, to be done one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps([Option<Step>; 3]);

impl Steps {
    /// The steps in their order.
    pub fn iter(&self) -> impl Iterator<Item = Step> {
        self.0.into_iter().flatten()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

fn flush_if_required(cap: Capability) -> Option<Step> {
    cap.needs_write_buffer_flush()
        .then_some(Step::FlushWriteBuffer)
}

/// What to do after the context entry of `source` was changed in memory.
///
/// `old` and `new` are the domain-ids of the entry before and after, `None` where it was,
/// or is, not present. The order is the specification's: context entries before
/// translations (VT-d 6.5.3.3), because a walk that starts from a stale context entry
/// would bring stale translations back; a device's own TLB, last, is the caller's.
pub fn after_context_change(
    cap: Capability,
    source: SourceId,
    old: Option<DomainId>,
    new: Option<DomainId>,
) -> Steps {
    let (context, translations) = match (old, new) {
        (Some(old), _) => (Some(old), Some(old)),
        // Absent entries are cached in caching mode only, and then as domain 0's.
        (None, Some(new)) if cap.caching_mode() => (Some(ABSENT_DOMAIN), Some(new)),
        (None, _) => (None, None),
    };
    Steps([
        flush_if_required(cap),
        context.map(|domain| {
            Step::Context(ContextScope::Device {
                domain,
                source,
                functions: FunctionMask::EXACT,
            })
        }),
        translations.map(|domain| Step::Iotlb(IotlbScope::Domain(domain))),
    ])
}

/// What to do after only the recording of faults (FPD) was changed in the context entry of
/// `source`, whose domain-id is `id`, `None` where the entry is not present.
///
/// Translations do not depend on it, so they stay.
pub fn after_recording_change(cap: Capability, source: SourceId, id: Option<DomainId>) -> Steps {
    let domain = match id {
        // Absent entries are cached in caching mode only.
        None if !cap.caching_mode() => None,
        id => Some(id.unwrap_or(ABSENT_DOMAIN)),
    };
    let context = domain.map(|domain| {
        Step::Context(ContextScope::Device {
            domain,
            source,
            functions: FunctionMask::EXACT,
        })
    });
    Steps([flush_if_required(cap), context, None])
}

/// What to do after only the recording of faults was changed in context entries of one bus that
/// are not present.
pub fn after_absent_recording_changes(cap: Capability) -> Steps {
    // Absent entries are cached in caching mode only.
    let context = cap
        .caching_mode()
        .then_some(Step::Context(ContextScope::Global));
    Steps([flush_if_required(cap), context, None])
}

/// What to do after entries that were absent were filled.
///
/// Nothing on most hardware: what is absent is not cached. Where it is, a directory entry may have
/// been cached as absent to which a table is linked now: non-leaf entries go, too.
pub fn after_map(cap: Capability, domain: DomainId, range: Range) -> Steps {
    let range = Range {
        tables_freed: true,
        ..range
    };
    let forget = cap
        .caching_mode()
        .then(|| forget_range(cap, domain, range, 1).next())
        .flatten();
    Steps([flush_if_required(cap), forget.map(Step::Iotlb), None])
}
