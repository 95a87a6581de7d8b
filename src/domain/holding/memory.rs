// SPDX-License-Identifier: GPL-2.0

//! Memory that is held from a deferred unmap until the units have invalidated it.
//!
//! An unmap whose flush the core defers takes a reference to the memory ([`HeldFolio`]). Its owner
//! may free it from then on, but the page allocator gets it back, and so another owner, only when a
//! flush of the domain has released the reference.
//!
//! # Invariants
//!
//! - The entries of held memory were cleared, and written back for units that do not snoop, before
//!   the memory was recorded.
//! - A record has the number of flushes that had begun when it was made. It is released by a flush
//!   that began later and that every unit has confirmed: [`Confirmed`].
//! - A record is released once. A reference whose record is never released is never put: after a
//!   unit did not confirm a flush, everything is kept for good.
//!
//! There always is a next flush, because the core queues the address after the unmap has returned,
//! and its timer flushes whatever is queued. A flush with interrupts off releases the records of its
//! own processor only, so that it ends soon: the core begins one when a queue is full, adds the
//! address to the queue afterwards, and the timer that is armed then flushes with interrupts on.
//!
//! # Locks
//!
//! The lock of one processor's records is held while they are added and removed, and not while a
//! reference is put: freeing memory takes locks.

use super::confirmed::Confirmed;
use super::records::{HeldCounts, MustFlush, Records, PUT_AT_ONCE, REASONS};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use kernel::prelude::*;
use kernel_ext::hold::{self, Batch};
use kernel_ext::late::LateBox;
use kernel_ext::lock::{self, IrqSpinLock};
use kernel_ext::percpu;
use vtd_core::pgtable::MemoryRun;
use vtd_core::spec::address::PhysAddr;

/// The memory that one domain holds.
pub(in crate::domain) struct Holding {
    /// The number of flushes that have begun; wraps.
    begun: AtomicU32,
    /// Whether a unit did not confirm a flush.
    lost: AtomicBool,
    most: AtomicU64,
    freed: AtomicU64,
    /// Unmaps that were flushed immediately, by [`MustFlush`].
    flushed: [AtomicU64; REASONS],
    /// Flushes because the kernel had little memory left.
    reclaims: AtomicU64,
    /// The records of each processor, allocated with the first of them.
    processors: LateBox<KVec<LateBox<Processor>>>,
}

/// The records of one processor.
#[pin_data]
struct Processor {
    /// The number of pages held, for readers without the lock.
    pages: AtomicU64,
    #[pin]
    records: IrqSpinLock<Records>,
}

impl Processor {
    fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            pages: AtomicU64::new(0),
            records <- kernel_ext::new_irq_spinlock!(Records::new(), c"vtd held memory"),
        })
    }

    /// Puts the references of all records that were made before flush number `flush` began. Returns
    /// the number of pages that were freed.
    fn release(&self, flush: u32) -> u64 {
        let mut taken = Batch::<PUT_AT_ONCE>::new();
        let mut freed = 0;
        loop {
            self.records.with(|records| {
                records.take(flush, &mut taken);
                self.pages.store(records.pages, Ordering::Relaxed);
            });
            let is_last = taken.count() < PUT_AT_ONCE;
            freed += taken.put();
            if is_last {
                return freed;
            }
        }
    }
}

impl Holding {
    /// Creates an empty one.
    pub(in crate::domain) fn new() -> Self {
        Holding {
            begun: AtomicU32::new(0),
            lost: AtomicBool::new(false),
            most: AtomicU64::new(0),
            freed: AtomicU64::new(0),
            flushed: core::array::from_fn(|_| AtomicU64::new(0)),
            reclaims: AtomicU64::new(0),
            processors: LateBox::new(),
        }
    }

    /// Holds memory whose entries were cleared and written back, until a flush that begins from now
    /// on.
    ///
    /// # Errors
    ///
    /// Why it is not held; parts of it may be. The caller invalidates it before its owner can free
    /// it.
    ///
    /// # Context
    ///
    /// Any context but NMI.
    pub(in crate::domain) fn keep(&self, memory: &[MemoryRun]) -> Result<(), MustFlush> {
        self.with_records(|records, begun, may_lose| {
            let mut runs = memory.iter();
            runs.try_for_each(|run| records.keep(run, begun, may_lose))
        })
    }

    /// Does the same with the page at physical address `phys`.
    ///
    /// # Errors
    ///
    /// Why it is not held.
    ///
    /// # Context
    ///
    /// Any context but NMI.
    #[inline(always)]
    pub(in crate::domain) fn keep_page(&self, phys: PhysAddr) -> Result<(), MustFlush> {
        self.with_records(|records, begun, may_lose| {
            let kept = records.keep_folio(phys.raw(), begun, may_lose);
            kept.map(|_| ())
        })
    }

    /// Calls `keep` with the records of this processor, the number of flushes that have begun, and
    /// the number of pages that may be kept for good if they must be.
    #[inline(always)]
    fn with_records(
        &self,
        keep: impl FnOnce(&mut Records, u32, Option<u64>) -> Result<(), MustFlush>,
    ) -> Result<(), MustFlush> {
        let Some(processor) = self.this_processor() else {
            return Err(MustFlush::NoMemory);
        };
        let is_lost = self.lost.load(Ordering::Relaxed);
        let may_lose = is_lost.then(hold::may_keep_for_good);
        processor.records.with(
            #[inline(always)]
            |records| {
                // A flush that begins later than the count is read finds the entries cleared.
                lock::full_barrier_after_lock();
                let begun = self.begun.load(Ordering::Relaxed);
                let kept = keep(records, begun, may_lose);
                processor.pages.store(records.pages, Ordering::Relaxed);
                kept
            },
        )
    }

    /// Counts an unmap that was flushed immediately.
    #[cold]
    pub(in crate::domain) fn count_flushed(&self, why: MustFlush) {
        if let Some(count) = self.flushed.get(why as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a flush because the kernel had little memory left.
    #[cold]
    pub(in crate::domain) fn count_reclaim(&self) {
        self.reclaims.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the records of this processor; [`None`] if there is no memory for them.
    #[inline(always)]
    fn this_processor(&self) -> Option<&Processor> {
        let cpu = percpu::this_cpu();
        let there = self
            .processors
            .value()
            .and_then(|all| all.get(cpu)?.value());
        there.or_else(|| self.allocate(cpu))
    }

    #[cold]
    #[inline(never)]
    fn allocate(&self, cpu: usize) -> Option<&Processor> {
        let flags = GFP_ATOMIC | __GFP_NOWARN;
        if self.processors.value().is_none() {
            let mut all = KVec::with_capacity(percpu::cpu_count(), flags).ok()?;
            for _ in 0..percpu::cpu_count() {
                all.push_within_capacity(LateBox::new()).ok()?;
            }
            self.processors.set(KBox::pin(all, flags).ok()?);
        }
        let place = self.processors.value()?.get(cpu)?;
        place.set(KBox::pin_init(Processor::new(), flags).ok()?);
        place.value()
    }

    /// Flushes the domain with `invalidate`, and releases what was held before it began.
    /// [`Some`] number of pages if a unit did not confirm the flush for the first time: everything
    /// that is held is kept for good from now on.
    ///
    /// # Context
    ///
    /// Any context but NMI. No raw spin lock may be held.
    pub(in crate::domain) fn flush(
        &self,
        invalidate: impl FnOnce() -> Option<Confirmed>,
    ) -> Option<u64> {
        let flush = self.begun.fetch_add(1, Ordering::SeqCst).wrapping_add(1);
        self.most.fetch_max(self.pages(), Ordering::Relaxed);
        match invalidate() {
            Some(confirmed) => {
                self.release(flush, confirmed);
                None
            }
            None => self.lose(),
        }
    }

    /// Releases what was held before flush number `flush` began.
    fn release(&self, flush: u32, _confirmed: Confirmed) {
        if self.lost.load(Ordering::Relaxed) {
            return;
        }
        let Some(all) = self.processors.value() else {
            return;
        };
        let only = lock::interrupts_are_off().then(percpu::this_cpu);
        let mut freed = 0;
        for (cpu, place) in all.iter().enumerate() {
            if only.is_none_or(|only| only == cpu) {
                // What is not seen yet is released by the flush that the core will request for it.
                let holds = |one: &&Processor| one.pages.load(Ordering::Relaxed) != 0;
                let processor = place.value().filter(holds);
                freed += processor.map_or(0, |one| one.release(flush));
            }
        }
        if freed != 0 {
            self.freed.fetch_add(freed, Ordering::Relaxed);
        }
    }

    /// Keeps everything for good, because a unit did not confirm that it has invalidated it.
    pub(in crate::domain) fn lose(&self) -> Option<u64> {
        if self.lost.swap(true, Ordering::Relaxed) {
            return None;
        }
        let pages = self.pages();
        hold::count_kept_for_good(pages);
        Some(pages)
    }

    /// Returns what was held and what was not.
    pub(in crate::domain) fn counts(&self) -> HeldCounts {
        let mut counts = HeldCounts {
            most: self.most.load(Ordering::Relaxed),
            freed: self.freed.load(Ordering::Relaxed),
            reclaims: self.reclaims.load(Ordering::Relaxed),
            ..HeldCounts::default()
        };
        for (count, flushed) in counts.flushed.iter_mut().zip(&self.flushed) {
            *count = flushed.load(Ordering::Relaxed);
        }
        let is_lost = self.lost.load(Ordering::Relaxed);
        for processor in self.processors.value().iter().flat_map(|all| all.iter()) {
            let Some(processor) = processor.value() else {
                continue;
            };
            counts.add(processor.records.with(|records| records.counts(is_lost)));
        }
        counts
    }

    /// Returns how many pages are held now.
    pub(in crate::domain) fn pages(&self) -> u64 {
        let pages = |place: &LateBox<Processor>| {
            let processor = place.value();
            processor.map_or(0, |one| one.pages.load(Ordering::Relaxed))
        };
        let all = self.processors.value();
        all.map_or(0, |all| all.iter().map(pages).sum())
    }

    /// Returns how many pages a flush can release.
    pub(in crate::domain) fn releasable(&self) -> u64 {
        match self.lost.load(Ordering::Relaxed) {
            true => 0,
            false => self.pages(),
        }
    }
}
