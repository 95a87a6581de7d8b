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

use crate::device::{Event, Past};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use kernel::prelude::*;
use kernel::time::{delay::fsleep, Delta};
use kernel_ext::clock::Ticks;
use kernel_ext::late::Late;
use kernel_ext::pages::Charge;
use vtd_core::spec::pte::Access;

/// Time between the two looks at an event.
const LOOK_AGAIN_US: i64 = 50;

/// 16 KiB for a domain.
const PLACES: usize = 512;

const PAGE_SHIFT: u32 = 12;
const PAGE_OFFSET: u64 = (1 << PAGE_SHIFT) - 1;

/// In `when`, the time stands below the length in pages.
const LENGTH_SHIFT: u32 = Ticks::BITS;

/// One event in two words.
struct Mark {
    /// The page, and below it what was permitted, as [`Access`]; 0: no event.
    what: AtomicU64,
    /// Time and length.
    when: AtomicU64,
}

impl Mark {
    const fn new() -> Self {
        Mark {
            what: AtomicU64::new(0),
            when: AtomicU64::new(0),
        }
    }

    #[inline(always)]
    fn set(&self, what: u64, len: u64) {
        let length = len << (LENGTH_SHIFT - PAGE_SHIFT);
        self.when.store(length | Ticks::now().raw(), Relaxed);
        self.what.store(what, Relaxed);
    }

    fn words(&self) -> (u64, u64) {
        (self.what.load(Relaxed), self.when.load(Relaxed))
    }
}

/// The event in two words, if there is one.
fn event((what, when): (u64, u64)) -> Option<Event> {
    let access = match what & PAGE_OFFSET {
        0 => return None,
        code if code == Access::Read as u64 => Access::Read,
        code if code == Access::Write as u64 => Access::Write,
        _ => Access::ReadWrite,
    };
    let at = Ticks::from_raw(when);
    Some(Event {
        first: what & !PAGE_OFFSET,
        pages: when >> LENGTH_SHIFT,
        at,
        age: at.age(),
        access,
    })
}

/// The last mapping and the last unmapping that started at one of the pages which share the place.
struct Place {
    mapped: Mark,
    unmapped: Mark,
}

impl Place {
    const fn new() -> Self {
        Place {
            mapped: Mark::new(),
            unmapped: Mark::new(),
        }
    }
}

type Table = [Place; PLACES];

/// Where the events of domains go that have no table; not read.
static NOWHERE: Table = [const { Place::new() }; PLACES];

/// The table, once there is one.
pub(super) struct History {
    places: Late<Table>,
    displaced: AtomicBool,
}

impl History {
    /// Nothing has happened yet.
    pub(super) fn new() -> Self {
        History {
            places: Late::new(&NOWHERE),
            displaced: AtomicBool::new(false),
        }
    }

    /// Makes the table, if there is none: a device is about to be attached. `mapped`: whether
    /// something was mapped before. [`ENOMEM`]. May sleep.
    pub(super) fn begin(&self, charge: Charge, mapped: impl FnOnce() -> bool) -> Result {
        if self.places.value().is_some() {
            return Ok(());
        }
        // In place: the stack has no room for it.
        let places = pin_init::init_array_from_fn(|_| Ok::<_, Error>(Place::new()));
        self.places.set(KBox::init(places, charge.flags())?);
        if mapped() {
            self.displaced.store(true, Relaxed);
        }
        Ok(())
    }

    #[inline(always)]
    fn place(&self, iova: u64) -> &Place {
        // Ranges are aligned to their size, so low bits alone would crowd; a product's middle bits
        // depend on all bits below. (The factor fits the instruction.)
        let product = iova.wrapping_mul(0x61c8_864f);
        &self.places.get()[(product >> 32) as usize % PLACES]
    }

    /// A range was mapped; its ends are page aligned. Any context.
    #[inline(always)]
    pub(super) fn mapped(&self, iova: u64, len: u64, access: Access) {
        let what = iova | access as u64;
        let place = self.place(iova);
        if !self.displaced.load(Relaxed) {
            let old = place.mapped.what.load(Relaxed);
            if (old ^ what) > PAGE_OFFSET && old != 0 {
                self.displaced.store(true, Relaxed);
            }
        }
        place.mapped.set(what, len);
        place.unmapped.what.store(0, Relaxed);
    }

    /// A range was unmapped; its ends are page aligned. Any context.
    #[inline(always)]
    pub(super) fn unmapped(&self, iova: u64, len: u64) {
        self.place(iova)
            .unmapped
            .set(iova | Access::Read as u64, len);
    }

    /// What last happened at `address`. Looks at every place: for reports only. May sleep.
    pub(super) fn of(&self, address: u64) -> Past {
        let (mut mapped, mut unmapped) = (None, None);
        for place in self.places.value().into_iter().flatten() {
            keep_later(&mut mapped, &place.mapped, address);
            keep_later(&mut unmapped, &place.unmapped, address);
        }
        match (mapped, unmapped) {
            (Some(map), Some(unmap)) if map.is_after(&unmap) => Past::Mapped(map),
            (before, Some(last)) => Past::Unmapped { last, before },
            (Some(map), None) => Past::Mapped(map),
            (None, None) if self.displaced.load(Relaxed) => Past::Forgotten,
            (None, None) => Past::Never,
        }
    }
}

/// Keeps of two events the one that holds `address` and is later.
fn keep_later(kept: &mut Option<Event>, mark: &Mark, address: u64) {
    let words = mark.words();
    let Some(new) = event(words).filter(|event| event.holds(address)) else {
        return;
    };
    // Longer than a writer that was interrupted between its stores takes, as a rule.
    fsleep(Delta::from_micros(LOOK_AGAIN_US));
    if mark.words() == words && kept.is_none_or(|kept| new.is_after(&kept)) {
        *kept = Some(new);
    }
}
