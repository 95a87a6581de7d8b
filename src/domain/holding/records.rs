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

/// The most records of one processor, which then take a page. The core queues 255 addresses.
const RECORDS: usize = 248;

/// The most pages that the records of one processor hold: 64 MiB.
const MAX_PAGES: u64 = 16384;

/// The number of references that are put between two times that the lock is taken.
pub(in crate::domain) const PUT_AT_ONCE: usize = 16;

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

/// The records of one processor, in the order in which they were made.
pub(in crate::domain) struct Records {
    ring: [Record; RECORDS],
    /// How many records were made and released so far.
    made: u64,
    released: u64,
    /// The addresses of the folio of the last record, while that is not released.
    last: Range<u64>,
    /// Pages held now, and so far.
    pub(in crate::domain) pages: u64,
    total: u64,
    /// Pages kept without a record.
    lost: u64,
}

struct Record {
    folio: Option<HeldFolio>,
    pages: u32,
    /// The number of flushes that had begun.
    begun: u32,
}

impl Record {
    fn none() -> Self {
        Record {
            folio: None,
            pages: 0,
            begun: 0,
        }
    }
}

impl Records {
    pub(in crate::domain) fn new() -> impl Init<Self> {
        init!(Self {
            ring <- pin_init::init_array_from_fn(|_| Ok::<_, Infallible>(Record::none())),
            made: 0,
            released: 0,
            last: 0..0,
            pages: 0,
            total: 0,
            lost: 0,
        })
    }

    /// Holds the memory of a run, and records it under the number of flushes that have `begun`.
    /// `folios` is the number of folios that may still be held. `may_lose`: keep it for good, without
    /// a record, and at most this number of pages.
    ///
    /// # Errors
    ///
    /// Why it is not held; parts of it may be.
    pub(in crate::domain) fn keep(
        &mut self,
        run: &MemoryRun,
        begun: u32,
        folios: &mut usize,
        may_lose: Option<u64>,
    ) -> Result<(), MustFlush> {
        let mut at = run.start.raw();
        let end = at.wrapping_add(run.bytes);
        while at < end {
            if self.last.contains(&at) {
                // The last record holds it, and a flush that has begun since must not release it.
                self.slot(self.made.wrapping_sub(1)).begun = begun;
                at = self.last.end;
                continue;
            }
            *folios = folios.checked_sub(1).ok_or(MustFlush::Long)?;
            let is_full = match may_lose {
                None => self.is_full(),
                Some(pages) => pages == 0,
            };
            if is_full {
                return Err(MustFlush::Full);
            }
            let attempt = HeldFolio::try_hold(at, end.wrapping_sub(at));
            if let Some(folio) = attempt.folio {
                self.add(folio, attempt.pages, begun, may_lose.is_some());
            }
            match attempt.memory {
                Ok(memory) => {
                    at = memory.end;
                    if may_lose.is_none() {
                        self.last = memory;
                    }
                }
                Err(NotHeld::Slab) => return Err(MustFlush::Slab),
                Err(NotHeld::Long) => return Err(MustFlush::Long),
                Err(NotHeld::Other) => return Err(MustFlush::Other),
            }
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.made.wrapping_sub(self.released) == RECORDS as u64 || self.pages >= MAX_PAGES
    }

    /// Adds a record; none if it is kept for good.
    fn add(&mut self, folio: HeldFolio, pages: u32, begun: u32, for_good: bool) {
        self.last = 0..0;
        self.total += u64::from(pages);
        if for_good {
            self.lost += u64::from(pages);
            return folio.keep_for_good(pages);
        }
        *self.slot(self.made) = Record {
            folio: Some(folio),
            pages,
            begun,
        };
        self.made += 1;
        self.pages += u64::from(pages);
    }

    fn slot(&mut self, number: u64) -> &mut Record {
        &mut self.ring[number as usize % RECORDS]
    }

    /// Moves the references of records that were made before flush number `flush` began to `taken`,
    /// as many as it has room for.
    pub(in crate::domain) fn take(&mut self, flush: u32, taken: &mut Batch<PUT_AT_ONCE>) {
        while taken.count() < PUT_AT_ONCE && self.released != self.made {
            let record = self.slot(self.released);
            if flush.wrapping_sub(record.begun) as i32 <= 0 {
                break;
            }
            let pages = u64::from(record.pages);
            if let Some(folio) = record.folio.take() {
                taken.add(folio);
            }
            self.pages -= pages;
            self.released += 1;
        }
        if self.released == self.made {
            self.last = 0..0;
        }
    }

    /// Returns what was held. `is_lost`: what is held now is kept for good.
    pub(in crate::domain) fn counts(&self, is_lost: bool) -> HeldCounts {
        HeldCounts {
            now: self.pages,
            total: self.total,
            lost: self.lost + if is_lost { self.pages } else { 0 },
            ..HeldCounts::default()
        }
    }
}
