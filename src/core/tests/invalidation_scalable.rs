// SPDX-License-Identifier: GPL-2.0

//! The invalidations of scalable mode: of PASID entries, and of what is cached of a first stage.

use crate::{cap, context, iotlb, range, steps_in, CACHING, DOMAIN, LEGACY, PSI, SCALABLE};
use vtd_core::invalidation::{
    after_map, everything, CacheTag, InvalidationRange, InvalidationStep, RangeInvalidator,
};
use vtd_core::spec::address::{DomainId, Iova, Pasid};
use vtd_core::spec::invalidation::{Invalidation, PasidIotlbScope, PasidScope};
use vtd_core::spec::scope::{ContextScope, IotlbScope, PageBlock};

#[test]
fn the_pasid_cache_is_invalidated_between_the_context_cache_and_the_iotlb() {
    let pasid = |scope| InvalidationStep::Invalidate(Invalidation::Pasid(scope));
    let translations = iotlb(IotlbScope::Domain(DOMAIN));
    let withdrawn = [
        context(DOMAIN),
        pasid(PasidScope::Domain(DOMAIN)),
        translations,
    ];
    for flags in [0, CACHING] {
        assert_eq!(steps_in(SCALABLE, flags, Some(DOMAIN), None), withdrawn);
    }
    assert_eq!(steps_in(SCALABLE, 0, None, Some(DOMAIN)), []);
    assert_eq!(
        steps_in(SCALABLE, CACHING, None, Some(DOMAIN)),
        [
            context(DomainId::new(0)),
            pasid(PasidScope::Global),
            translations
        ]
    );
    assert_eq!(steps_in(SCALABLE, CACHING, None, None), []);
}

#[test]
fn a_first_stage_is_invalidated_by_pasid() {
    let pasid = Pasid::new(0x1234).unwrap();
    let tag = CacheTag::FirstStage {
        domain: DOMAIN,
        pasid,
    };
    let after = |unit, range| RangeInvalidator::new(unit).invalidation(tag, range);
    let page = |leaves_only| {
        let block = PageBlock::new(Iova::new(0x1000), 0).unwrap();
        Invalidation::PasidIotlb(PasidIotlbScope::Pages {
            domain: DOMAIN,
            pasid,
            block,
            leaves_only,
        })
    };
    let all = Invalidation::PasidIotlb(PasidIotlbScope::Pasid {
        domain: DOMAIN,
        pasid,
    });
    assert_eq!(after(cap(PSI, 18), range(0x1000, 0x1fff)), page(true));
    // Two pages on either side of a GiB multiple need a block of 2 GiB, more than 2^18 pages.
    assert_eq!(after(cap(PSI, 18), range(0x3fff_f000, 0x4000_0fff)), all);
    assert_eq!(after(cap(0, 0), range(0x1000, 0x1fff)), all);
    assert_eq!(after(cap(PSI, 18), InvalidationRange::ALL), all);
    let steps = after_map(cap(PSI | CACHING, 18), tag, range(0x1000, 0x1fff));
    assert!(steps.iter().eq([InvalidationStep::Invalidate(page(false))]));
}

#[test]
fn everything_includes_the_pasid_cache_in_scalable_mode() {
    let context = Invalidation::Context(ContextScope::Global);
    let iotlb = Invalidation::Iotlb(IotlbScope::Global);
    let pasid = Invalidation::Pasid(PasidScope::Global);
    assert_eq!(everything(LEGACY), [context, iotlb]);
    assert_eq!(everything(SCALABLE), [context, pasid, iotlb]);
}
