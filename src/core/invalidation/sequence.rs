// SPDX-License-Identifier: GPL-2.0

//! The steps that must follow a change of a context entry or of a page table, in their order.

use super::range::{InvalidationRange, RangeInvalidator};
use super::tag::CacheTag;
use crate::spec::address::{DomainId, SourceId};
use crate::spec::capability::Capability;
use crate::spec::invalidation::{Invalidation, PasidScope};
use crate::spec::registers::TranslationTableMode;
use crate::spec::scope::{ContextScope, FunctionMask, IotlbScope};

/// Returns the invalidations of all that a unit in this mode has cached for requests, in their order.
pub const fn everything(mode: TranslationTableMode) -> &'static [Invalidation] {
    match mode {
        TranslationTableMode::Legacy => &[
            Invalidation::Context(ContextScope::Global),
            Invalidation::Iotlb(IotlbScope::Global),
        ],
        TranslationTableMode::Scalable => &[
            Invalidation::Context(ContextScope::Global),
            Invalidation::Pasid(PasidScope::Global),
            Invalidation::Iotlb(IotlbScope::Global),
        ],
    }
}

/// The domain-id with which caching mode tags entries that are not present (VT-d 6.1).
const ABSENT_DOMAIN: DomainId = DomainId::new(0);

/// One step that must follow a change of a table in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InvalidationStep {
    /// Flush the unit's write buffer (`GCMD.WBF`), so that it sees what was written.
    FlushWriteBuffer,
    /// Invalidate.
    Invalidate(Invalidation),
}

impl InvalidationStep {
    const fn context(scope: ContextScope) -> Self {
        Self::Invalidate(Invalidation::Context(scope))
    }

    const fn pasid(scope: PasidScope) -> Self {
        Self::Invalidate(Invalidation::Pasid(scope))
    }

    const fn iotlb(scope: IotlbScope) -> Self {
        Self::Invalidate(Invalidation::Iotlb(scope))
    }
}

/// Up to four steps; the caller performs one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidationSteps([Option<InvalidationStep>; 4]);

/// The maximum number of invalidations among [`InvalidationSteps`].
pub const MAX_INVALIDATIONS: usize = 3;

impl InvalidationSteps {
    /// Returns the steps in their order.
    pub fn iter(&self) -> impl Iterator<Item = InvalidationStep> {
        self.0.into_iter().flatten()
    }

    /// Returns whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

fn flush_if_required(cap: Capability) -> Option<InvalidationStep> {
    cap.needs_write_buffer_flush()
        .then_some(InvalidationStep::FlushWriteBuffer)
}

/// Returns the steps that invalidate the caches after the context entry of `source` changed in
/// memory, in scalable mode together with its PASID entry.
///
/// `old` and `new` are the domain-ids of the entry before and after the change, `None` where the
/// entry is not present. The specification demands this order: the context cache before the PASID
/// cache, and both before the IOTLB (VT-d 6.5.3.3), because a walk that starts from a stale entry
/// would cache stale translations again. The caller invalidates a device-TLB last.
///
/// In scalable mode hardware ignores the domain-id of a context-cache invalidation.
pub fn after_context_change(
    mode: TranslationTableMode,
    cap: Capability,
    source: SourceId,
    old: Option<DomainId>,
    new: Option<DomainId>,
) -> InvalidationSteps {
    let (context, translations) = match (old, new) {
        (Some(old), _) => (Some(old), Some(old)),
        // Absent entries are cached in caching mode only, and then as domain 0's.
        (None, Some(new)) if cap.caching_mode() => (Some(ABSENT_DOMAIN), Some(new)),
        (None, _) => (None, None),
    };
    InvalidationSteps([
        flush_if_required(cap),
        context.map(|domain| {
            InvalidationStep::context(ContextScope::Device {
                domain,
                source,
                functions: FunctionMask::EXACT,
            })
        }),
        match mode {
            TranslationTableMode::Legacy => None,
            TranslationTableMode::Scalable => pasid_scope(cap, old, new),
        }
        .map(InvalidationStep::pasid),
        translations.map(|domain| InvalidationStep::iotlb(IotlbScope::Domain(domain))),
    ])
}

/// Returns the PASID-cache invalidation of [`after_context_change`].
fn pasid_scope(
    cap: Capability,
    old: Option<DomainId>,
    new: Option<DomainId>,
) -> Option<PasidScope> {
    match (old, new) {
        (Some(old), _) => Some(PasidScope::Domain(old)),
        // What was cached as not present has no domain-id that could be given.
        (None, Some(_)) if cap.caching_mode() => Some(PasidScope::Global),
        (None, _) => None,
    }
}

/// Returns the steps that invalidate the caches after only FPD (fault processing disable) changed
/// in the context entry of `source`.
///
/// `id` is the domain-id of the entry, or `None` where the entry is not present. Translations do
/// not depend on FPD, so they stay cached.
pub fn after_fpd_change(
    cap: Capability,
    source: SourceId,
    id: Option<DomainId>,
) -> InvalidationSteps {
    let domain = match id {
        // Absent entries are cached in caching mode only.
        None if !cap.caching_mode() => None,
        id => Some(id.unwrap_or(ABSENT_DOMAIN)),
    };
    let context = domain.map(|domain| {
        InvalidationStep::context(ContextScope::Device {
            domain,
            source,
            functions: FunctionMask::EXACT,
        })
    });
    InvalidationSteps([flush_if_required(cap), context, None, None])
}

/// Returns the steps that invalidate the caches after only FPD changed in context entries of one
/// bus that are not present.
pub fn after_absent_fpd_changes(cap: Capability) -> InvalidationSteps {
    // Absent entries are cached in caching mode only.
    let context = cap
        .caching_mode()
        .then_some(InvalidationStep::context(ContextScope::Global));
    InvalidationSteps([flush_if_required(cap), context, None, None])
}

/// Returns the steps that must follow a map, which filled page-table entries that were not present.
///
/// Most hardware does not cache entries that are not present, so there is nothing to invalidate.
/// Hardware in caching mode does: it may have cached a directory entry as not present to which a
/// table is linked now, so non-leaf entries are invalidated too.
pub fn after_map(cap: Capability, tag: CacheTag, range: InvalidationRange) -> InvalidationSteps {
    let invalidation = cap
        .caching_mode()
        .then(|| RangeInvalidator::new(cap).invalidation(tag, range.with_tables_freed()));
    InvalidationSteps([
        flush_if_required(cap),
        invalidation.map(InvalidationStep::Invalidate),
        None,
        None,
    ])
}
