// SPDX-License-Identifier: GPL-2.0

//! The TLB of a device: which flushes reach it, and what cutting it off does.

use std::cell::Cell;
use vtd_core::invalidation::{CacheTag, InvalidationRange};
use vtd_core::lockless::device_tlb::{DeviceEntry, DeviceTlb, DeviceTlbAddress};
use vtd_core::spec::address::{DomainId, Iova, SourceId};
use vtd_core::spec::invalidation::{DeviceTlbScope, Invalidation};
use vtd_core::spec::scope::PageBlock;

/// Whether a context entry is present.
#[derive(Default)]
struct Entry(Cell<bool>);

impl DeviceEntry for &Entry {
    fn is_gone(&self) -> bool {
        false
    }

    fn withdraw(&self) -> bool {
        self.0.replace(false)
    }
}

const SOURCE: SourceId = SourceId::from_raw(0x1238);
const FUNCTION: SourceId = SourceId::from_raw(0x1230);

fn tlb(entry: &Entry) -> DeviceTlb<&Entry> {
    let address = DeviceTlbAddress {
        source: SOURCE,
        physical_function: FUNCTION,
        queue_depth: 7,
    };
    DeviceTlb::new(address, entry)
}

fn tag(id: u16) -> CacheTag {
    CacheTag::SecondStage(DomainId::new(id))
}

#[test]
fn a_flush_reaches_the_domain_that_a_device_has_and_the_one_that_it_leaves() {
    let entry = Entry::default();
    let tlb = tlb(&entry);
    assert!(!tlb.has(tag(0)), "attached to nothing");
    assert!(tlb.join(tag(0)) && tlb.join(tag(5)));
    assert!(tlb.has(tag(0)) && tlb.has(tag(5)) && !tlb.has(tag(1)));
    assert!(!tlb.join(tag(6)), "it has not left the first one");
    assert!(tlb.leave(tag(0)) && !tlb.leave(tag(0)));
    assert!(!tlb.has(tag(0)) && tlb.has(tag(5)));
    assert!(tlb.join(tag(6)));
    // The same domain twice: as if the device left one and entered another.
    assert!(tlb.leave(tag(5)) && tlb.join(tag(6)) && tlb.leave(tag(6)));
    assert!(tlb.has(tag(6)));
}

#[test]
fn a_device_is_cut_off_once_and_stays_withdrawn() {
    let entry = Entry::default();
    let tlb = tlb(&entry);
    entry.0.set(true);
    assert!(!tlb.withdraw_if_lost() && entry.0.get());
    assert!(tlb.lose() && tlb.is_lost() && !entry.0.get());
    assert!(!tlb.lose(), "it was cut off before");
    assert!(!tlb.withdraw_if_lost(), "it is not present");
    entry.0.set(true);
    assert!(tlb.withdraw_if_lost() && !entry.0.get());
    tlb.restore();
    entry.0.set(true);
    assert!(!tlb.is_lost() && !tlb.withdraw_if_lost() && entry.0.get());
}

#[test]
fn an_invalidation_names_the_device_and_covers_the_range() {
    let entry = Entry::default();
    let tlb = tlb(&entry);
    let of = |block| {
        Invalidation::DeviceTlb(DeviceTlbScope {
            source: SOURCE,
            physical_function: FUNCTION,
            queue_depth: 7,
            pasid: None,
            block,
        })
    };
    let range = |first, len| InvalidationRange::of(Iova::new(first), len, false).unwrap();
    let block = |first, mask| PageBlock::new(Iova::new(first), mask).unwrap();
    assert_eq!(tlb.invalidation(range(0x5000, 1)), of(block(0x5000, 0)));
    assert_eq!(tlb.invalidation(range(0x5fff, 2)), of(block(0x4000, 2)));
    assert_eq!(tlb.invalidation(InvalidationRange::ALL), of(PageBlock::ALL));
    assert_eq!(PageBlock::ALL, block(0, 52));
}
