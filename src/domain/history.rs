// SPDX-License-Identifier: GPL-2.0

//! What last happened to the addresses of one domain, for the reports of faults.
//!
//! Written on every map and unmap, so it must cost next to nothing there: three stores into a table
//! of fixed size, without a lock, a shared index or an allocation. Where an event is stored follows
//! from the first page of its range, so the same address always finds itself again however much
//! happens elsewhere, and processors that work on different addresses touch different cache
//! lines. Where two addresses share a place, the later one has it.
//!
//! Read only when a fault is reported, without a lock: the reader looks twice, some time apart, and
//! passes over what changed in between. What remains possible is that two processors met at one
//! place within nanoseconds, and the length of one stands beside the address of the other.
//!
//! # Invariants
//!
//! - An unmapping stands beside a mapping of the same range only if it came after it: recording
//!   a mapping clears the place beside it.
//! - `displaced` is set from before the first mapping is overwritten by one of another address, and
//!   once something was mapped that is not in the table.
//!
//! A domain that no device was ever attached to has no table: nobody asks for the history of what no
//! device could reach. Until there is one, what is recorded goes to a place that all such domains
//! share and that nobody reads.

use crate::device::{AddressHistory, MappingEvent};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use kernel::prelude::*;
use kernel::time::{delay::fsleep, Delta};
use kernel_ext::clock::Jiffies;
use kernel_ext::late::LateInit;
use kernel_ext::pages::Charge;
use vtd_core::spec::pte::Access;

/// Time between the two looks at an event.
const REREAD_DELAY_US: i64 = 50;

/// 16 KiB for a domain.
const BUCKETS: usize = 512;

const PAGE_SHIFT: u32 = 12;
const PAGE_OFFSET: u64 = (1 << PAGE_SHIFT) - 1;

/// In `length_and_time`, the time stands below the length in pages.
const LENGTH_SHIFT: u32 = Jiffies::BITS;

/// One event in two words.
struct StoredEvent {
    /// The page, and below it what was permitted, as [`Access`]; 0: no event.
    page_and_access: AtomicU64,
    /// Time and length.
    length_and_time: AtomicU64,
}

impl StoredEvent {
    const fn new() -> Self {
        StoredEvent {
            page_and_access: AtomicU64::new(0),
            length_and_time: AtomicU64::new(0),
        }
    }

    #[inline(always)]
    fn set(&self, page_and_access: u64, len: u64) {
        let length = len << (LENGTH_SHIFT - PAGE_SHIFT);
        self.length_and_time
            .store(length | Jiffies::now().raw(), Relaxed);
        self.page_and_access.store(page_and_access, Relaxed);
    }

    fn words(&self) -> (u64, u64) {
        (
            self.page_and_access.load(Relaxed),
            self.length_and_time.load(Relaxed),
        )
    }
}

/// The event in two words, if there is one.
fn decode_event((page_and_access, length_and_time): (u64, u64)) -> Option<MappingEvent> {
    let access = match page_and_access & PAGE_OFFSET {
        0 => return None,
        code if code == Access::Read as u64 => Access::Read,
        code if code == Access::Write as u64 => Access::Write,
        _ => Access::ReadWrite,
    };
    let at = Jiffies::from_raw(length_and_time);
    Some(MappingEvent {
        first: page_and_access & !PAGE_OFFSET,
        pages: length_and_time >> LENGTH_SHIFT,
        at,
        age: at.age(),
        access,
    })
}

/// The last mapping and the last unmapping that started at one of the pages which share the place.
struct Bucket {
    mapped: StoredEvent,
    unmapped: StoredEvent,
}

impl Bucket {
    const fn new() -> Self {
        Bucket {
            mapped: StoredEvent::new(),
            unmapped: StoredEvent::new(),
        }
    }
}

type EventTable = [Bucket; BUCKETS];

/// Where the events of domains go that have no table; not read.
static SCRATCH_TABLE: EventTable = [const { Bucket::new() }; BUCKETS];

/// The table, once there is one.
pub(super) struct MappingHistory {
    buckets: LateInit<EventTable>,
    displaced: AtomicBool,
}

impl MappingHistory {
    /// Nothing has happened yet.
    pub(super) fn new() -> Self {
        MappingHistory {
            buckets: LateInit::new(&SCRATCH_TABLE),
            displaced: AtomicBool::new(false),
        }
    }

    /// Makes the table, if there is none: a device is about to be attached. `mapped`: whether
    /// something was mapped before. [`ENOMEM`]. May sleep.
    pub(super) fn allocate(&self, charge: Charge, mapped: impl FnOnce() -> bool) -> Result {
        if self.buckets.value().is_some() {
            return Ok(());
        }
        // In place: the stack has no room for it.
        let buckets = pin_init::init_array_from_fn(|_| Ok::<_, Error>(Bucket::new()));
        self.buckets.set(KBox::init(buckets, charge.flags())?);
        if mapped() {
            self.displaced.store(true, Relaxed);
        }
        Ok(())
    }

    #[inline(always)]
    fn bucket_of(&self, iova: u64) -> &Bucket {
        // Ranges are aligned to their size, so low bits alone would crowd; a product's middle bits
        // depend on all bits below. (The factor fits the instruction.)
        let product = iova.wrapping_mul(0x61c8_864f);
        &self.buckets.get()[(product >> 32) as usize % BUCKETS]
    }

    /// A range was mapped; its ends are page aligned. Any context.
    #[inline(always)]
    pub(super) fn record_map(&self, iova: u64, len: u64, access: Access) {
        let page_and_access = iova | access as u64;
        let bucket = self.bucket_of(iova);
        if !self.displaced.load(Relaxed) {
            let old = bucket.mapped.page_and_access.load(Relaxed);
            if (old ^ page_and_access) > PAGE_OFFSET && old != 0 {
                self.displaced.store(true, Relaxed);
            }
        }
        bucket.mapped.set(page_and_access, len);
        bucket.unmapped.page_and_access.store(0, Relaxed);
    }

    /// A range was unmapped; its ends are page aligned. Any context.
    #[inline(always)]
    pub(super) fn record_unmap(&self, iova: u64, len: u64) {
        self.bucket_of(iova)
            .unmapped
            .set(iova | Access::Read as u64, len);
    }

    /// What last happened at `address`. Looks at every place: for reports only. May sleep.
    pub(super) fn look_up(&self, address: u64) -> AddressHistory {
        let (mut mapped, mut unmapped) = (None, None);
        for bucket in self.buckets.value().into_iter().flatten() {
            keep_later(&mut mapped, &bucket.mapped, address);
            keep_later(&mut unmapped, &bucket.unmapped, address);
        }
        match (mapped, unmapped) {
            (Some(map), Some(unmap)) if map.is_after(&unmap) => AddressHistory::Mapped(map),
            (before, Some(last)) => AddressHistory::Unmapped { last, before },
            (Some(map), None) => AddressHistory::Mapped(map),
            (None, None) if self.displaced.load(Relaxed) => AddressHistory::Displaced,
            (None, None) => AddressHistory::NeverMapped,
        }
    }
}

/// Keeps of two events the one that holds `address` and is later.
fn keep_later(kept: &mut Option<MappingEvent>, stored: &StoredEvent, address: u64) {
    let words = stored.words();
    let Some(new) = decode_event(words).filter(|event| event.contains(address)) else {
        return;
    };
    // Longer than a writer that was interrupted between its stores takes, as a rule.
    fsleep(Delta::from_micros(REREAD_DELAY_US));
    if stored.words() == words && kept.is_none_or(|kept| new.is_after(&kept)) {
        *kept = Some(new);
    }
}
