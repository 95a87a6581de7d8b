// SPDX-License-Identifier: GPL-2.0

//! The records of the memory that one processor holds.
//!
//! # Invariants
//!
//! - Records have the number of flushes that had begun when they were made, so these numbers only
//!   grow from one record to the next.
//! - Each record has a reference, which is taken out of it once, in the order of the records.
//! - `last` has the addresses of the folio of the last record, or it is empty. While that record is
//!   not released, the folio is neither freed nor split.

use core::convert::Infallible;
use core::ops::Range;
use kernel::prelude::*;
use kernel_ext::hold::{Batch, HeldFolio, NotHeld};
use vtd_core::pgtable::MemoryRun;
use vtd_core::spec::address::PAGE_SIZE;

/// The most records of one processor, which then take a page. The core queues 255 addresses.
const RECORDS: usize = 288;

/// The most bytes of one unmap that are held. To invalidate more costs less than to hold it.
pub(in crate::domain) const MAX_BYTES: u64 = 8 * PAGE_SIZE;

/// The most pages that the records of one processor hold: 64 MiB.
const MAX_PAGES: u64 = 16384;

/// The number of references that are put between two times that the lock is taken.
pub(in crate::domain) const PUT_AT_ONCE: usize = 32;

/// Why unmapped memory must be invalidated before the unmap returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::domain) enum MustFlush {
    /// It belongs to a slab or a large kmalloc.
    Slab,
    /// It has too many pages.
    Long,
    /// It cannot be held for another reason.
    Other,
    /// There is no room for more records.
    Full,
    /// There is no memory for any records.
    NoMemory,
    /// The domain is strict, whatever the core chooses.
    Strict,
}

/// The number of reasons in [`MustFlush`].
pub(in crate::domain) const REASONS: usize = 6;

impl From<NotHeld> for MustFlush {
    fn from(why: NotHeld) -> Self {
        match why {
            NotHeld::Slab => MustFlush::Slab,
            NotHeld::Other => MustFlush::Other,
        }
    }
}

/// What was held, in pages, and what was not, in unmaps.
#[derive(Clone, Copy, Default)]
pub(crate) struct HeldCounts {
    /// Pages held now.
    pub(crate) now: u64,
    /// The most pages that a flush has found.
    pub(crate) most: u64,
    /// Pages held so far.
    pub(crate) total: u64,
    /// Pages that their owner had freed before the flush.
    pub(crate) freed: u64,
    /// Pages that are kept for good, because a unit did not confirm a flush.
    pub(crate) lost: u64,
    /// Unmaps that were flushed immediately, by [`MustFlush`].
    pub(crate) flushed: [u64; REASONS],
    /// Flushes because the kernel had little memory left.
    pub(crate) reclaims: u64,
}

impl HeldCounts {
    /// Adds the counts of `other`.
    pub(crate) fn add(&mut self, other: HeldCounts) {
        self.now += other.now;
        self.most += other.most;
        self.total += other.total;
        self.freed += other.freed;
        self.lost += other.lost;
        self.reclaims += other.reclaims;
        for (sum, count) in self.flushed.iter_mut().zip(other.flushed) {
            *sum += count;
        }
    }
}

/// The records of one processor, in the order in which they were made: rings of [`RECORDS`] places.
pub(in crate::domain) struct Records {
    folios: [Option<HeldFolio>; RECORDS],
    /// The number of flushes that had begun.
    begun: [u32; RECORDS],
    orders: [u8; RECORDS],
    /// The place of the next record, and the number of records.
    next: usize,
    count: usize,
    /// The addresses of the folio of the last record, while that is not released.
    last: Range<u64>,
    /// Pages held now.
    pub(in crate::domain) pages: u64,
    /// Pages released so far.
    released: u64,
    /// Pages kept without a record.
    lost: u64,
}

impl Records {
    pub(in crate::domain) fn new() -> impl Init<Self> {
        init!(Self {
            folios <- pin_init::init_array_from_fn(|_| Ok::<_, Infallible>(None)),
            begun <- pin_init::init_array_from_fn(|_| Ok::<_, Infallible>(0)),
            orders <- pin_init::init_array_from_fn(|_| Ok::<_, Infallible>(0)),
            next: 0,
            count: 0,
            last: 0..0,
            pages: 0,
            released: 0,
            lost: 0,
        })
    }

    /// Holds the memory of a run, and records it under the number of flushes that have `begun`.
    /// `may_lose`: keep it for good, without a record, and at most this number of pages.
    ///
    /// # Errors
    ///
    /// Why it is not held; parts of it may be.
    pub(in crate::domain) fn keep(
        &mut self,
        run: &MemoryRun,
        begun: u32,
        may_lose: Option<u64>,
    ) -> Result<(), MustFlush> {
        let mut at = run.start.raw();
        let end = at.wrapping_add(run.bytes);
        while at < end {
            at = self.keep_folio(at, begun, may_lose)?;
        }
        Ok(())
    }

    /// Does the same with the folio at physical address `at`. Returns its end.
    ///
    /// # Errors
    ///
    /// Why it is not held.
    #[inline(always)]
    pub(in crate::domain) fn keep_folio(
        &mut self,
        at: u64,
        begun: u32,
        may_lose: Option<u64>,
    ) -> Result<u64, MustFlush> {
        if self.last.contains(&at) {
            // The last record holds it, and a flush that has begun since must not release it.
            self.renew_last(begun);
            return Ok(self.last.end);
        }
        if let Some(pages) = may_lose {
            return self.lose(at, pages);
        }
        if self.count == RECORDS || self.pages >= MAX_PAGES {
            return Err(MustFlush::Full);
        }
        let attempt = HeldFolio::try_hold(at);
        if let Some(folio) = attempt.folio {
            self.add(folio, attempt.order, begun);
        }
        match attempt.memory {
            Ok(memory) => {
                self.last = memory;
                Ok(self.last.end)
            }
            Err(why) => {
                self.last = 0..0;
                Err(why.into())
            }
        }
    }

    /// Does the same without a record: the folio is kept for good.
    #[cold]
    #[inline(never)]
    fn lose(&mut self, at: u64, may_lose: u64) -> Result<u64, MustFlush> {
        if may_lose == 0 {
            return Err(MustFlush::Full);
        }
        let attempt = HeldFolio::try_hold(at);
        if let Some(folio) = attempt.folio {
            let pages = 1 << attempt.order;
            self.lost += u64::from(pages);
            folio.keep_for_good(pages);
        }
        attempt.memory.map(|memory| memory.end).map_err(Into::into)
    }

    #[inline(always)]
    fn add(&mut self, folio: HeldFolio, order: u8, begun: u32) {
        if let Some((place, place_begun, place_order)) = self.place(self.next) {
            *place = Some(folio);
            *place_begun = begun;
            *place_order = order;
        }
        self.next = after(self.next);
        self.count += 1;
        self.pages += 1 << order;
    }

    #[inline(always)]
    fn renew_last(&mut self, begun: u32) {
        let last = self.next.checked_sub(1).unwrap_or(RECORDS - 1);
        if let Some((_, place_begun, _)) = self.place(last) {
            *place_begun = begun;
        }
    }

    #[inline(always)]
    fn place(&mut self, number: usize) -> Option<(&mut Option<HeldFolio>, &mut u32, &mut u8)> {
        Some((
            self.folios.get_mut(number)?,
            self.begun.get_mut(number)?,
            self.orders.get_mut(number)?,
        ))
    }

    /// Moves the references of records that were made before flush number `flush` began to `taken`,
    /// as many as it has room for.
    #[inline(always)]
    pub(in crate::domain) fn take(&mut self, flush: u32, taken: &mut Batch<PUT_AT_ONCE>) {
        let distance = self.next.wrapping_sub(self.count);
        let mut first = distance.min(distance.wrapping_add(RECORDS));
        while taken.count() < PUT_AT_ONCE && self.count != 0 {
            let Some((folio, begun, order)) = self.place(first) else {
                break;
            };
            if flush.wrapping_sub(*begun) as i32 <= 0 {
                break;
            }
            let pages = 1 << *order;
            if let Some(folio) = folio.take() {
                taken.add(folio);
            }
            self.pages -= pages;
            self.released += pages;
            self.count -= 1;
            first = after(first);
        }
        if self.count == 0 {
            self.last = 0..0;
        }
    }

    /// Returns what was held and what was not. `is_lost`: what is held now is kept for good.
    pub(in crate::domain) fn counts(&self, is_lost: bool) -> HeldCounts {
        HeldCounts {
            now: self.pages,
            total: self.released + self.pages + self.lost,
            lost: self.lost + if is_lost { self.pages } else { 0 },
            ..HeldCounts::default()
        }
    }
}

/// Returns the place after place `number`.
#[inline(always)]
fn after(number: usize) -> usize {
    match number + 1 {
        RECORDS => 0,
        next => next,
    }
}
