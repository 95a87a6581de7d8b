// SPDX-License-Identifier: GPL-2.0

//! Deferred unmaps of the modelled driver, which hold memory until the flush: `unmap_held` and
//! `flush_all` of src/domain/deferred.rs, `keep` and `release` of src/domain/holding/memory.rs.
//!
//! The law: no memory is released while a unit can still reach it. Its owner frees all memory as
//! soon as it is unmapped, so it is free as soon as it is not held.

use crate::caches_bugs::Bug;
use crate::caches_domain::Extent;
use crate::caches_driver::Driver;

/// The memory that a domain holds.
#[derive(Default)]
pub(crate) struct Holding {
    /// The number of flushes that have begun.
    begun: u32,
    records: Vec<Record>,
}

/// Memory, and how many flushes had begun when it was unmapped.
struct Record {
    what: Extent,
    begun: u32,
}

impl Driver {
    /// An unmap whose flush is deferred: `iommu_dma_unmap` with a flush queue.
    pub(crate) fn unmap_lazily(&mut self, domain: usize, iova: u64, len: u64) {
        if self.hw.has(Bug::HeldBeforeCleared) {
            // A flush on another processor comes between the record and the unmap.
            let truth = self.domains[domain].truth.clone();
            let inside = |part: &Extent| part.iova < iova + len && iova < part.iova + part.len;
            self.keep(domain, truth.into_iter().filter(inside).collect());
            self.flush_all(domain, None);
        }
        let before = self.domains[domain].pending.len();
        let mut gather = core::mem::take(&mut self.domains[domain].queue);
        self.hw.defer_write_back(true);
        self.unmap(domain, iova, len, &mut gather);
        self.hw.defer_write_back(false);
        if self.hw.has(Bug::LazyTablesFreedEarly) {
            gather.tables.drain(..).for_each(|page| self.hw.free(page));
        }
        self.domains[domain].queue = gather;
        let unmapped = self.domains[domain].pending[before..].to_vec();
        if !self.hw.has(Bug::NotHeld) {
            self.keep(domain, unmapped);
        } else {
            unmapped
                .iter()
                .for_each(|what| self.return_memory(domain, what));
        }
    }

    /// `Holding::keep`.
    fn keep(&mut self, domain: usize, memory: Vec<Extent>) {
        let holding = &mut self.domains[domain].holding;
        let begun = holding.begun;
        let records = memory.into_iter().map(|what| Record { what, begun });
        holding.records.extend(records);
    }

    /// `flush_iotlb_all`, then the ranges of the flush queue are reused. `during` is unmapped on
    /// another processor between the invalidation and the release.
    pub(crate) fn flush_all(&mut self, domain: usize, during: Option<(u64, u64)>) {
        let late = self.hw.has(Bug::CountedAfterFlush);
        let flush = self.domains[domain].holding.begun + 1;
        if !late {
            self.domains[domain].holding.begun = flush;
        }
        if self.hw.has(Bug::ReleasedBeforeFlush) {
            self.release(domain, flush);
        }
        let queue = core::mem::take(&mut self.domains[domain].queue);
        let pending = core::mem::take(&mut self.domains[domain].pending);
        self.domains[domain].flush_list.invalidate_all();
        if let Some((iova, len)) = during {
            // Hardware still finds what is mapped.
            self.hw.fill_caches();
            self.unmap_lazily(domain, iova, len);
        }
        if late {
            self.domains[domain].holding.begun = flush;
        }
        self.release(domain, flush);
        for page in queue.tables {
            self.hw.free(page);
        }
        for old in pending {
            let records = &self.domains[domain].holding.records;
            if records.iter().any(|record| record.what == old) {
                let Extent { iova, .. } = old;
                self.hw
                    .report_problem(format!("{iova:#x} is held after the flush"));
            }
        }
    }

    /// `Holding::release`.
    fn release(&mut self, domain: usize, flush: u32) {
        let kept = self.hw.has(Bug::LastRecordForgotten);
        let records = core::mem::take(&mut self.domains[domain].holding.records);
        let last = records.len().wrapping_sub(1);
        for (number, record) in records.into_iter().enumerate() {
            let is_last = kept && number == last;
            if (record.begun < flush || self.hw.has(Bug::AllReleased)) && !is_last {
                self.return_memory(domain, &record.what);
            } else {
                self.domains[domain].holding.records.push(record);
            }
        }
    }

    /// Memory goes back to the page allocator.
    fn return_memory(&self, domain: usize, what: &Extent) {
        self.must_not_be_translated(domain, what, "released");
        for (number, id) in self.domains[domain].attached() {
            let unit = self.hw.units[number].borrow();
            let reaches = unit
                .leaves
                .iter()
                .any(|leaf| leaf.0 == id && what.meets(leaf));
            if reaches {
                let Extent { iova, phys, .. } = what;
                self.hw.report_problem(format!(
                    "unit {number} can reach memory {phys:#x} by {iova:#x} as it is released"
                ));
            }
        }
    }
}
