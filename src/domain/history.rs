// SPDX-License-Identifier: GPL-2.0

//! Records the last map and unmap of the addresses of one domain, for fault reports.
//!
//! Every map and unmap writes to this table, so it must cost next to nothing: three stores into a
//! table of fixed size, without a lock, a shared index or an allocation. The first page of a range
//! determines its bucket. So an address is found again however much happens at other addresses, and
//! CPUs that work on different addresses write to different cache lines. If two addresses share a
//! bucket, the later event overwrites the earlier one.
//!
//! The table is read only when a fault is reported, without a lock. The reader reads each event
//! twice, some time apart, and skips it if it changed in between. One error remains possible: two
//! CPUs write to one bucket within nanoseconds, and the event has the length of one range with the
//! address of the other.
//!
//! # Invariants
//!
//! - A bucket holds an unmap together with a map of the same range only if the unmap was later:
//!   recording a map clears the unmap of its bucket.
//! - `displaced` is set before the first map is overwritten by one of another address. It is also
//!   set if something was mapped before the table was allocated.
//!
//! A domain that no device was ever attached to has no table: no device could reach its addresses,
//! so no fault report needs their history. Until a table is allocated, events are written to a
//! scratch table, which all such domains share and which is never read.

use crate::device::{AddressHistory, MappingEvent};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use kernel::prelude::*;
use kernel::time::{delay::fsleep, Delta};
use kernel_ext::clock::Jiffies;
use kernel_ext::late::LateInit;
use kernel_ext::pages::Charge;
use vtd_core::spec::pte::Access;

/// Time between the two reads of an event.
const REREAD_DELAY_US: i64 = 50;

/// The number of buckets in a table, which takes 16 KiB.
const BUCKETS: usize = 512;

const PAGE_SHIFT: u32 = 12;
const PAGE_OFFSET: u64 = (1 << PAGE_SHIFT) - 1;

/// Shift of the length, in pages, in `length_and_time`; the time is in the bits below.
const LENGTH_SHIFT: u32 = Jiffies::BITS;

/// One event, packed into two words.
struct StoredEvent {
    /// The address of the page, and in its low bits the permitted [`Access`]; 0: no event.
    page_and_access: AtomicU64,
    /// Length in pages, and in the low bits the time.
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

/// Decodes an event; [`None`] if there is none.
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

/// The last map and the last unmap that began at one of the pages that share this bucket.
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

/// Receives the events of domains that have no table; never read.
static SCRATCH_TABLE: EventTable = [const { Bucket::new() }; BUCKETS];

/// The history of one domain.
pub(super) struct MappingHistory {
    buckets: LateInit<EventTable>,
    displaced: AtomicBool,
}

impl MappingHistory {
    /// Creates an empty history without a table.
    pub(super) fn new() -> Self {
        MappingHistory {
            buckets: LateInit::new(&SCRATCH_TABLE),
            displaced: AtomicBool::new(false),
        }
    }

    /// Allocates the table if there is none, because a device is about to be attached. `mapped`
    /// returns whether something was mapped before.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(super) fn allocate(&self, charge: Charge, mapped: impl FnOnce() -> bool) -> Result {
        if self.buckets.value().is_some() {
            return Ok(());
        }
        // Initialised in place, because the stack has no room for the table.
        let buckets = pin_init::init_array_from_fn(|_| Ok::<_, Error>(Bucket::new()));
        self.buckets.set(KBox::init(buckets, charge.flags())?);
        if mapped() {
            self.displaced.store(true, Relaxed);
        }
        Ok(())
    }

    #[inline(always)]
    fn bucket_of(&self, iova: u64) -> &Bucket {
        // Ranges are aligned to their size, so the low bits alone would collide. The middle bits of
        // a product depend on all bits below. (The factor fits an immediate operand.)
        let product = iova.wrapping_mul(0x61c8_864f);
        &self.buckets.get()[(product >> 32) as usize % BUCKETS]
    }

    /// Records that a page-aligned range was mapped.
    ///
    /// # Context
    ///
    /// Any context.
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

    /// Records that a page-aligned range was unmapped.
    ///
    /// # Context
    ///
    /// Any context.
    #[inline(always)]
    pub(super) fn record_unmap(&self, iova: u64, len: u64) {
        self.bucket_of(iova)
            .unmapped
            .set(iova | Access::Read as u64, len);
    }

    /// Returns what last happened at `address`. Searches every bucket, so it is for reports only.
    ///
    /// # Context
    ///
    /// May sleep.
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

/// Replaces `kept` with the stored event if that event contains `address` and is later.
fn keep_later(kept: &mut Option<MappingEvent>, stored: &StoredEvent, address: u64) {
    let words = stored.words();
    let Some(new) = decode_event(words).filter(|event| event.contains(address)) else {
        return;
    };
    // Normally longer than an interrupt that arrives between a writer's two stores.
    fsleep(Delta::from_micros(REREAD_DELAY_US));
    if stored.words() == words && kept.is_none_or(|kept| new.is_after(&kept)) {
        *kept = Some(new);
    }
}
