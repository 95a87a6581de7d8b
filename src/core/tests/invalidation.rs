// SPDX-License-Identifier: GPL-2.0

//! The invalidations cover what has changed, with at most the allowed number of descriptors.

mod invalidation_scalable;

use proptest::prelude::*;
use vtd_core::install::{disable_fault_processing, RequesterEntry, RequesterSlot};
use vtd_core::invalidation::{
    after_absent_fpd_changes, after_context_change, after_fpd_change, after_map, cover_range,
};
use vtd_core::invalidation::{
    CacheTag, InvalidationRange, InvalidationStep, InvalidationSteps, RangeInvalidator,
};
use vtd_core::spec::address::{DomainId, Iova, Pasid, SourceId};
use vtd_core::spec::capability::Capability;
use vtd_core::spec::invalidation::Invalidation;
use vtd_core::spec::level::Stage;
use vtd_core::spec::registers::TranslationTableMode;
use vtd_core::spec::scope::{ContextScope, FunctionMask, IotlbScope};

const DOMAIN: DomainId = DomainId::new(7);
const OTHER: DomainId = DomainId::new(9);
const SOURCE: SourceId = SourceId::from_bus_devfn(0, 0x28);
const LEGACY: TranslationTableMode = TranslationTableMode::Legacy;
const SCALABLE: TranslationTableMode = TranslationTableMode::Scalable;
const PSI: u64 = 1 << 39;
const CACHING: u64 = 1 << 7;
const WRITE_BUFFER: u64 = 1 << 4;

fn cap(flags: u64, max_mask: u64) -> Capability {
    Capability::from_raw(flags | (max_mask << 48))
}

fn range(first: u64, last: u64) -> InvalidationRange {
    InvalidationRange::new(Iova::new(first), Iova::new(last), false).unwrap()
}

/// Returns the scopes as (first, last), or `None` for the whole domain.
fn blocks(cap: Capability, range: InvalidationRange, budget: u32) -> Option<Vec<(u64, u64)>> {
    cover_range(cap, DOMAIN, range, budget)
        .map(|scope| match scope {
            IotlbScope::Pages { domain, block, .. } => {
                assert_eq!(domain, DOMAIN);
                Some((block.address().raw(), block.last().raw()))
            }
            other => {
                assert_eq!(other, IotlbScope::Domain(DOMAIN));
                None
            }
        })
        .collect()
}

#[test]
fn one_page_is_one_page() {
    let unit = cap(PSI, 18);
    assert_eq!(
        blocks(unit, range(0x5000, 0x5fff), 1),
        Some(vec![(0x5000, 0x5fff)])
    );
    assert_eq!(
        blocks(unit, range(0x5008, 0x5008), 0),
        Some(vec![(0x5000, 0x5fff)])
    );
}

#[test]
fn one_block_covers_what_is_not_aligned() {
    let unit = cap(PSI, 18);
    assert_eq!(
        blocks(unit, range(0x1000, 0x2fff), 1),
        Some(vec![(0, 0x3fff)])
    );
    let exact = vec![(0x1000, 0x1fff), (0x2000, 0x2fff)];
    assert_eq!(blocks(unit, range(0x1000, 0x2fff), 2), Some(exact));
    let seven = blocks(unit, range(0x1000, 0x6fff), 4).unwrap();
    assert_eq!(
        seven,
        [
            (0x1000, 0x1fff),
            (0x2000, 0x3fff),
            (0x4000, 0x5fff),
            (0x6000, 0x6fff)
        ]
    );
    assert_eq!(
        blocks(unit, range(0x1000, 0x6fff), 3),
        Some(vec![(0, 0x7fff)])
    );
}

#[test]
fn a_range_that_no_block_covers_invalidates_the_domain() {
    // 2^18 pages are 1 GiB; a page on either side of 1 TiB needs a block of 2^29.
    let edge = range(0xff_ffff_f000, 0x100_0000_0fff);
    assert_eq!(blocks(cap(PSI, 18), edge, 1), None);
    assert!(blocks(cap(PSI, 18), edge, 2).is_some());
    assert!(blocks(cap(PSI, 29), edge, 1).is_some());
    assert_eq!(blocks(cap(0, 63), range(0, 0xfff), 4), None);
    let two = vec![(0, 0x3fff_ffff), (0x4000_0000, 0x7fff_ffff)];
    assert_eq!(blocks(cap(PSI, 18), range(0, 0x7fff_ffff), 2), Some(two));
    assert_eq!(blocks(cap(PSI, 18), range(0, 0x7fff_ffff), 1), None);
}

#[test]
fn the_ends_of_the_address_space_are_covered() {
    let all = range(0, u64::MAX);
    assert_eq!(blocks(cap(PSI, 18), all, 4), None);
    assert_eq!(blocks(cap(PSI, 63), all, 1), Some(vec![(0, u64::MAX)]));
    let top = range(u64::MAX, u64::MAX);
    assert_eq!(
        blocks(cap(PSI, 18), top, 4),
        Some(vec![(u64::MAX - 0xfff, u64::MAX)])
    );
    assert_eq!(
        InvalidationRange::new(Iova::new(1), Iova::new(0), false),
        None
    );
}

#[test]
fn freed_tables_invalidate_non_leaf_entries() {
    for freed in [false, true] {
        let range = InvalidationRange::new(Iova::new(0), Iova::new(0xfff), freed).unwrap();
        let scope = cover_range(cap(PSI, 0), DOMAIN, range, 1).next().unwrap();
        assert!(matches!(scope, IotlbScope::Pages { leaves_only, .. } if leaves_only != freed));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn every_page_is_covered_within_budget(
        first: u64,
        length in any::<u64>(),
        (shift, length_shift) in (0u32..64, 0u32..64),
        max_mask in 0u64..64,
        budget in 0u32..8,
        selective: bool,
    ) {
        let first = first >> shift;
        let last = first.saturating_add(length >> length_shift);
        let unit = cap(if selective { PSI } else { 0 }, max_mask);
        let scopes: Vec<_> = cover_range(unit, DOMAIN, range(first, last), budget).collect();
        prop_assert!(!scopes.is_empty());
        prop_assert!(scopes.len() <= budget.max(1) as usize);
        let mut next = first & !0xfff;
        for scope in &scopes {
            match scope {
                IotlbScope::Domain(domain) => {
                    prop_assert_eq!(*domain, DOMAIN);
                    prop_assert_eq!(scopes.len(), 1);
                    next = u64::MAX;
                }
                IotlbScope::Pages { block, .. } => {
                    prop_assert!(selective);
                    prop_assert!(u64::from(block.address_mask()) <= max_mask);
                    let size = 12 + u32::from(block.address_mask());
                    prop_assert!(block.address().is_aligned(size));
                    prop_assert!(block.address().raw() <= next, "a gap");
                    if scopes.len() > 1 {
                        prop_assert_eq!(block.address().raw(), next);
                        prop_assert!(block.last().raw() <= last | 0xfff);
                    }
                    next = block.last().raw().saturating_add(1);
                }
                IotlbScope::Global => prop_assert!(false, "a global invalidation was not requested"),
            }
        }
        prop_assert!(next > last || next == u64::MAX, "the end is not covered");
    }

    /// With a budget of 1, the result is that of the in-tree driver: the smallest block, or the
    /// domain.
    #[test]
    fn a_larger_budget_invalidates_no_more(first in 0u64..1 << 48, pages in 1u64..1 << 20, budget in 2u32..8) {
        let last = first + (pages << 12) - 1;
        let dropped = |budget| {
            blocks(cap(PSI, 18), range(first, last), budget)
                .map_or(u128::MAX, |blocks| blocks.iter().map(|(from, to)| u128::from(to - from) + 1).sum())
        };
        prop_assert!(dropped(budget) <= dropped(1));
    }
}

fn steps(flags: u64, old: Option<DomainId>, new: Option<DomainId>) -> Vec<InvalidationStep> {
    steps_in(LEGACY, flags, old, new)
}

fn steps_in(
    mode: TranslationTableMode,
    flags: u64,
    old: Option<DomainId>,
    new: Option<DomainId>,
) -> Vec<InvalidationStep> {
    after_context_change(mode, cap(flags, 0), SOURCE, old, new)
        .iter()
        .collect()
}

fn context(domain: DomainId) -> InvalidationStep {
    InvalidationStep::Invalidate(Invalidation::Context(ContextScope::Device {
        domain,
        source: SOURCE,
        functions: FunctionMask::EXACT,
    }))
}

fn iotlb(scope: IotlbScope) -> InvalidationStep {
    InvalidationStep::Invalidate(Invalidation::Iotlb(scope))
}

#[test]
fn a_present_entry_is_invalidated_by_its_domain_before_its_translations() {
    let expected = [context(DOMAIN), iotlb(IotlbScope::Domain(DOMAIN))];
    for new in [None, Some(DOMAIN), Some(OTHER)] {
        for flags in [0, CACHING] {
            assert_eq!(steps(flags, Some(DOMAIN), new), expected);
        }
    }
}

#[test]
fn an_absent_entry_is_cached_in_caching_mode_only_and_as_domain_0() {
    assert_eq!(steps(0, None, Some(DOMAIN)), []);
    let zero = DomainId::new(0);
    let expected = [context(zero), iotlb(IotlbScope::Domain(DOMAIN))];
    assert_eq!(steps(CACHING, None, Some(DOMAIN)), expected);
    assert_eq!(steps(CACHING, None, None), []);
}

#[test]
fn the_write_buffer_is_flushed_first() {
    assert_eq!(
        steps(WRITE_BUFFER, None, Some(DOMAIN)),
        [InvalidationStep::FlushWriteBuffer]
    );
    let all = steps(WRITE_BUFFER | CACHING, Some(DOMAIN), None);
    assert_eq!((all.len(), all[0]), (3, InvalidationStep::FlushWriteBuffer));
}

#[test]
fn a_change_of_fpd_invalidates_only_the_context_entry() {
    let after = |flags, id| -> Vec<InvalidationStep> {
        after_fpd_change(cap(flags, 0), SOURCE, id).iter().collect()
    };
    assert_eq!(after(0, Some(DOMAIN)), [context(DOMAIN)]);
    assert_eq!(after(CACHING, Some(DOMAIN)), [context(DOMAIN)]);
    assert_eq!(after(0, None), []);
    assert_eq!(after(CACHING, None), [context(DomainId::new(0))]);
    assert_eq!(
        after(WRITE_BUFFER, Some(DOMAIN)),
        [InvalidationStep::FlushWriteBuffer, context(DOMAIN)]
    );
}

#[test]
fn absent_entries_are_invalidated_where_they_may_be_cached() {
    let after = |flags| -> Vec<InvalidationStep> {
        after_absent_fpd_changes(cap(flags, 0)).iter().collect()
    };
    let global = InvalidationStep::Invalidate(Invalidation::Context(ContextScope::Global));
    assert_eq!(after(0), []);
    assert_eq!(after(CACHING), [global]);
    assert_eq!(after(WRITE_BUFFER), [InvalidationStep::FlushWriteBuffer]);
}

#[test]
fn filled_entries_matter_to_caching_mode_and_write_buffers_only() {
    let after = |flags| {
        after_map(
            cap(flags, 18),
            CacheTag::SecondStage(DOMAIN),
            range(0x1000, 0x1fff),
        )
    };
    assert!(after(PSI).is_empty());
    assert!(after(PSI | WRITE_BUFFER)
        .iter()
        .eq([InvalidationStep::FlushWriteBuffer]));
    let steps: Vec<_> = after(PSI | CACHING).iter().collect();
    assert!(matches!(
        steps[..],
        [InvalidationStep::Invalidate(Invalidation::Iotlb(
            IotlbScope::Pages { .. }
        ))]
    ));
    let steps: Vec<_> = after(CACHING).iter().collect();
    assert_eq!(steps, [iotlb(IotlbScope::Domain(DOMAIN))]);
}

/// The entries that were written, and the number of requests for steps.
#[derive(Default)]
struct Recorded(Vec<RequesterEntry>, usize);

impl RequesterSlot for Recorded {
    type Error = ();

    fn write(&mut self, entry: RequesterEntry) {
        self.0.push(entry);
    }

    fn perform(&mut self, _: InvalidationSteps) -> Result<(), ()> {
        self.1 += 1;
        Ok(())
    }
}

#[test]
fn fault_recording_is_disabled_once() {
    for mode in [LEGACY, SCALABLE] {
        let absent = RequesterEntry::absent(mode);
        let disabled = absent.with_fault_processing_disabled();
        let mut slot = Recorded::default();
        for old in [absent, disabled] {
            disable_fault_processing(&mut slot, cap(0, 0), SOURCE, old).unwrap();
        }
        assert_eq!((slot.0, slot.1), (vec![disabled], 1));
    }
}

proptest! {
    #[test]
    fn the_precomputed_form_returns_the_same(
        flags in prop::sample::select(vec![0, PSI]),
        max_mask in 0u64..64,
        id in any::<u16>(),
        first in any::<u64>(),
        bits in 0u32..64,
        tables_freed in any::<bool>(),
    ) {
        let (cap, id) = (cap(flags, max_mask), DomainId::new(id));
        let last = first.saturating_add((1u64 << bits) - 1);
        let range = InvalidationRange::new(Iova::new(first), Iova::new(last), tables_freed).unwrap();
        let scope = RangeInvalidator::new(cap).scope(id, range);
        prop_assert!(cover_range(cap, id, range, 1).eq([scope]), "{}", scope);
        let pages = matches!(scope, IotlbScope::Pages { .. });
        prop_assert!(flags & PSI != 0 || !pages);
    }

    #[test]
    fn a_packed_tag_is_the_tag(id in any::<u16>(), pasid in 0u32..1 << 20, other in any::<u64>()) {
        let (domain, pasid) = (DomainId::new(id), Pasid::new(pasid).unwrap());
        let second = CacheTag::SecondStage(domain);
        let first = CacheTag::FirstStage { domain, pasid };
        for tag in [second, first] {
            prop_assert_ne!(tag.packed(), 0);
            prop_assert_eq!(CacheTag::unpack(tag.packed()), Some(tag));
        }
        prop_assert_eq!(CacheTag::unpack_second_stage(second.packed()), Some(domain));
        prop_assert_eq!(CacheTag::unpack_second_stage(first.packed()), None);
        prop_assert_eq!(CacheTag::unpack(0), None);
        if let Some(tag) = CacheTag::unpack(other & 0xff_ffff_ffff) {
            prop_assert_eq!(CacheTag::unpack(tag.packed()), Some(tag));
        }
    }
}

#[test]
fn requests_without_pasid_have_the_tag_of_their_stage() {
    let tag = |stage| CacheTag::of_requester_ids(stage, DOMAIN);
    assert_eq!(tag(Stage::Second), CacheTag::SecondStage(DOMAIN));
    let first = CacheTag::FirstStage {
        domain: DOMAIN,
        pasid: Pasid::new(0).unwrap(),
    };
    assert_eq!(tag(Stage::First), first);
}
