// SPDX-License-Identifier: GPL-2.0

//! The domains of the modelled driver. `caches_driver` lists the driver's functions that it
//! follows.

use crate::caches_attachments::List;
use crate::caches_bugs::Bug;
use crate::caches_driver::Driver;
use crate::caches_hardware::{Hardware, Leaf};
use crate::caches_held::Holding;
use crate::caches_units::AllUnits;
use crate::pgtable_arena::PageId;
use std::cell::RefCell;
use vtd_core::invalidation::InvalidationRange;
use vtd_core::lockless::flush_list::FlushList;
use vtd_core::pgtable::{FlushGather, PageTable, Prot};
use vtd_core::spec::address::{Iova, PhysAddr};
use vtd_core::spec::pte::Access;

/// A range that is, or was, mapped: the first byte of the request, length, memory, permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) iova: u64,
    pub(crate) len: u64,
    pub(crate) phys: u64,
    pub(crate) rights: u64,
}

impl Extent {
    /// Returns whether a translation is a part of it.
    pub(crate) fn holds(&self, &(_, first, bytes, phys, rights): &Leaf) -> bool {
        first >= self.iova
            && first + bytes <= self.iova + self.len
            && phys == self.phys + (first - self.iova)
            && rights == self.rights
    }

    /// Returns whether a translation leads from a part of it to the same memory.
    pub(crate) fn meets(&self, &(_, first, bytes, phys, _): &Leaf) -> bool {
        let (end, at) = (self.phys + self.len, self.iova + self.len);
        let same = first < at && self.iova < first + bytes;
        same && phys < end && self.phys < phys + bytes
    }
}

/// Unmapped ranges that are not yet flushed: `struct iommu_iotlb_gather`, or the flush queue.
#[derive(Default)]
pub(crate) struct Gather {
    range: Option<(u64, u64)>,
    pub(crate) tables: Vec<PageId>,
    /// A bug: ranges without retired tables are left out.
    only_with_tables: bool,
}

pub(crate) struct Domain {
    pub(crate) stage: PageTable<Hardware>,
    pub(crate) attachments: RefCell<List>,
    pub(crate) flush_list: FlushList<AllUnits>,
    /// The mapped ranges.
    pub(crate) truth: Vec<Extent>,
    /// The ranges that were unmapped with a deferred flush and may still be reached.
    pub(crate) pending: Vec<Extent>,
    pub(crate) queue: Gather,
    pub(crate) holding: Holding,
    /// No unmap is deferred, because of a device with a TLB.
    pub(crate) is_strict: bool,
}

impl Driver {
    /// `iommu_map`: `Paging::map_range`, then `iotlb_sync_map`, with memory for `tables` tables.
    /// Returns whether something had to be flushed before the end.
    pub(crate) fn map(&mut self, domain: usize, what: Extent, tables: i64) -> bool {
        let access = Access::new(what.rights & 1 != 0, what.rights & 2 != 0).expect("a right");
        let prot = Prot {
            access,
            snoop: false,
        };
        let mut gather = Gather {
            only_with_tables: self.hw.has(Bug::FailedMapNotFlushed),
            ..Gather::default()
        };
        self.hw.arena.limit(tables);
        let Domain {
            stage, flush_list, ..
        } = &self.domains[domain];
        let (iova, phys) = (Iova::new(what.iova), PhysAddr::new(what.phys));
        let done = stage
            .map_fast(&self.hw, iova, phys, what.len, prot)
            .or_else(|rest| stage.map_existing(&self.hw, rest))
            .or_else(|rest| stage.map_gathered(&self.hw, rest, &mut gather));
        self.hw.arena.limit(i64::MAX);
        if let Some(range) = gather.to_invalidate() {
            if !self.hw.has(Bug::RemovedTableNotFlushed) {
                flush_list.invalidate_range(range);
            }
        }
        let flushed = gather.range.is_some();
        for page in gather.tables {
            self.hw.free(page);
        }
        if done.is_err() {
            return true;
        }
        let Ok(()) = flush_list.sync_map(iova, what.len);
        self.domains[domain].truth.push(what);
        flushed
    }

    /// `Paging::unmap_range` of several ranges into one gather, which holds the unmapped ranges
    /// afterwards.
    pub(crate) fn unmap(&mut self, domain: usize, iova: u64, len: u64, gather: &mut Gather) {
        let it = &mut self.domains[domain];
        let stage = &it.stage;
        let bytes = stage
            .unmap_fast(&self.hw, Iova::new(iova), len)
            .or_else(|rest| stage.unmap_existing(&self.hw, rest))
            .unwrap_or_else(|rest| stage.unmap_gathered(&self.hw, rest, Iova::new(iova), gather));
        gather.add(Iova::new(iova), bytes);
        if bytes != 0 {
            it.cut(iova, iova + bytes);
        }
    }

    /// `iommu_unmap` of one range after another, then one `iommu_iotlb_sync`. Returns the gather.
    pub(crate) fn unmap_strictly(
        &mut self,
        domain: usize,
        ranges: &[(u64, u64)],
    ) -> (Option<(u64, u64)>, bool) {
        let mut gather = Gather::default();
        let late = self.hw.has(Bug::FlushedBeforeCleared);
        if late {
            for &(iova, len) in ranges {
                let range = InvalidationRange::of(Iova::new(iova), len, true).expect("not empty");
                self.domains[domain].flush_list.invalidate_range(range);
            }
        }
        let earlier = core::mem::take(&mut self.domains[domain].pending);
        for &(iova, len) in ranges {
            self.unmap(domain, iova, len, &mut gather);
        }
        let freed = !gather.tables.is_empty();
        let early = self.hw.has(Bug::TableFreedEarly);
        let mut tables = core::mem::take(&mut gather.tables);
        if early {
            tables.drain(..).for_each(|page| self.hw.free(page));
        }
        if let (false, Some((first, last))) = (late, gather.range) {
            let last = if last - first >= 0x1000 && self.hw.has(Bug::LastPageLeftOut) {
                last - 0x1000
            } else {
                last
            };
            let range =
                InvalidationRange::new(Iova::new(first), Iova::new(last), freed).expect("in order");
            self.domains[domain].flush_list.invalidate_range(range);
        }
        for page in tables {
            self.hw.free(page);
        }
        for what in &self.domains[domain].pending {
            self.must_not_be_translated(domain, what, "unmapped");
        }
        if let Some((first, last)) = gather.range {
            let pending = &mut self.domains[domain].pending;
            pending.retain(|old| old.iova < first || last < old.iova + old.len - 1);
        }
        // Hardware may still cache links of ranges that were unmapped with a deferred flush, and
        // read retired tables through them, until the flush of those ranges.
        self.domains[domain].pending.extend(earlier);
        (gather.range, freed)
    }
}

impl Gather {
    /// `iotlb_sync` of src/domain/paging.rs: what to invalidate.
    fn to_invalidate(&self) -> Option<InvalidationRange> {
        let (first, last) = self.range?;
        InvalidationRange::new(Iova::new(first), Iova::new(last), !self.tables.is_empty())
    }
}

impl FlushGather<PageId> for Gather {
    fn retire(&mut self, table: PageId) {
        self.tables.push(table);
    }

    fn wait_for_readers(&mut self) {}

    fn add(&mut self, iova: Iova, len: u64) {
        let (Some(last), false) = (
            len.checked_sub(1),
            self.only_with_tables && self.tables.is_empty(),
        ) else {
            return;
        };
        let (first, last) = (iova.raw(), iova.raw() + last);
        let (low, high) = self.range.unwrap_or((first, last));
        self.range = Some((low.min(first), high.max(last)));
    }
}

impl Domain {
    /// Moves the mapped ranges between two addresses to the pending ones.
    fn cut(&mut self, first: u64, end: u64) {
        let part = |old: &Extent, from: u64, to: u64| {
            (from < to).then(|| Extent {
                iova: from,
                len: to - from,
                phys: old.phys + (from - old.iova),
                ..*old
            })
        };
        for old in core::mem::take(&mut self.truth) {
            let (start, stop) = (old.iova, old.iova + old.len);
            self.truth.extend(part(&old, start, stop.min(first)));
            self.truth.extend(part(&old, start.max(end), stop));
            self.pending
                .extend(part(&old, start.max(first), stop.min(end)));
        }
    }
}
