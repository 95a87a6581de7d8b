// SPDX-License-Identifier: GPL-2.0

//! The steps that must follow a change of a context entry or of a page table, in their order.

use super::range::{InvalidationRange, RangeInvalidator};
use super::tag::CacheTag;
use crate::spec::address::{DomainId, SourceId};
use crate::spec::capability::Capability;
use crate::spec::invalidation::Invalidation;
use crate::spec::scope::{ContextScope, FunctionMask, IotlbScope};

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

    const fn iotlb(scope: IotlbScope) -> Self {
        Self::Invalidate(Invalidation::Iotlb(scope))
    }
}

/// Up to three steps; the caller performs one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidationSteps([Option<InvalidationStep>; 3]);

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
/// memory.
///
/// `old` and `new` are the domain-ids of the entry before and after the change, `None` where the
/// entry is not present. The specification demands this order: the context cache before the IOTLB
/// (VT-d 6.5.3.3), because a walk that starts from a stale context entry would cache stale
/// translations again. The caller invalidates a device-TLB last.
pub fn after_context_change(
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
        translations.map(|domain| InvalidationStep::iotlb(IotlbScope::Domain(domain))),
    ])
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
    InvalidationSteps([flush_if_required(cap), context, None])
}

/// Returns the steps that invalidate the caches after only FPD changed in context entries of one
/// bus that are not present.
pub fn after_absent_fpd_changes(cap: Capability) -> InvalidationSteps {
    // Absent entries are cached in caching mode only.
    let context = cap
        .caching_mode()
        .then_some(InvalidationStep::context(ContextScope::Global));
    InvalidationSteps([flush_if_required(cap), context, None])
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
    ])
}
