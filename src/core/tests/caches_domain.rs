// SPDX-License-Identifier: GPL-2.0

//! The domains of the modelled driver. `caches_driver` lists the driver's functions that it
//! follows.

use crate::caches_bugs::Bug;
use crate::caches_driver::Driver;
use crate::caches_hardware::Hardware;
use crate::caches_held::Holding;
use crate::pgtable_arena::PageId;
use vtd_core::invalidation::{after_map, InvalidationRange, InvalidationStep, RangeInvalidator};
use vtd_core::pgtable::{PageTable, Prot};
use vtd_core::spec::address::{DomainId, Iova, PhysAddr};
use vtd_core::spec::invalidation::Invalidation;
use vtd_core::spec::pte::Access;
use vtd_core::spec::scope::{IotlbScope, PageBlock};

/// A range that is, or was, mapped: the first byte of the request, length, memory, permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) iova: u64,
    pub(crate) len: u64,
    pub(crate) phys: u64,
    pub(crate) rights: u64,
}

/// Unmapped ranges that are not yet flushed: `struct iommu_iotlb_gather`, or the flush queue.
#[derive(Default)]
pub(crate) struct Gather {
    range: Option<(u64, u64)>,
    pub(crate) tables: Vec<PageId>,
}

pub(crate) struct Domain {
    pub(crate) stage: PageTable<Hardware>,
    /// The unit, the domain-id on it, the devices.
    pub(crate) attachments: Vec<(usize, u16, u32)>,
    pub(crate) needs_map_invalidation: bool,
    /// The mapped ranges.
    pub(crate) truth: Vec<Extent>,
    /// The ranges that were unmapped with a deferred flush and may still be reached.
    pub(crate) pending: Vec<Extent>,
    pub(crate) queue: Gather,
    pub(crate) holding: Holding,
}

impl Driver {
    /// `Attachments::attach_unit`, with `DomainIds::allocate`.
    pub(crate) fn join(&mut self, domain: usize, unit: usize) -> u16 {
        let it = &mut self.domains[domain];
        if let Some((_, id, devices)) = it.attachments.iter_mut().find(|one| one.0 == unit) {
            *devices += 1;
            return *id;
        }
        let used = &mut self.ids[unit];
        let id = (2..).find(|id| !used.contains(id)).expect("an id");
        used.insert(id);
        let cap = self.hw.cap(unit);
        it.needs_map_invalidation |= cap.caching_mode() || cap.needs_write_buffer_flush();
        it.attachments.push((unit, id, 1));
        id
    }

    /// `Attachments::detach_unit`.
    pub(crate) fn leave(&mut self, domain: usize, unit: usize) {
        let list = &mut self.domains[domain].attachments;
        let at = list.iter().position(|one| one.0 == unit).expect("joined");
        list[at].2 -= 1;
        if list[at].2 == 0 {
            let (_, id, _) = list.remove(at);
            self.ids[unit].remove(&id);
            let cached = self.hw.units[unit].borrow();
            let holds = cached.leaves.iter().any(|leaf| leaf.0 == id)
                || cached.links.iter().any(|link| link.0 == id)
                || cached.contexts.iter().any(|context| context.2 == id);
            if holds {
                self.hw.report_problem(format!(
                    "unit {unit} holds things of {id} as its id is freed"
                ));
            }
        }
    }

    /// `FlushList::invalidate_range`, with `Unit::begin_range` and `Unit::finish_range`.
    pub(crate) fn invalidate_range(&self, domain: usize, range: InvalidationRange) {
        let attachments = &self.domains[domain].attachments;
        for &(unit, id, _) in attachments {
            if unit != 0 && self.hw.has(Bug::OtherUnitNotFlushed) {
                continue;
            }
            let scope = RangeInvalidator::new(self.hw.cap(unit)).scope(DomainId::new(id), range);
            self.hw
                .begin(unit, &[Invalidation::Iotlb(self.with_bug(scope))]);
        }
        for &(unit, _, _) in attachments {
            if unit == 0 || !self.hw.has(Bug::OtherUnitNotWaitedFor) {
                self.hw.finish(unit);
            }
        }
    }

    pub(crate) fn with_bug(&self, scope: IotlbScope) -> IotlbScope {
        let IotlbScope::Pages {
            mut domain,
            mut block,
            mut leaves_only,
        } = scope
        else {
            return match scope {
                IotlbScope::Domain(id) if self.hw.has(Bug::WrongDomainId) => {
                    IotlbScope::Domain(DomainId::new(id.raw() ^ 1))
                }
                _ => scope,
            };
        };
        if self.hw.has(Bug::WholeDomainEachTime) {
            return IotlbScope::Domain(domain);
        }
        if self.hw.has(Bug::WrongDomainId) {
            domain = DomainId::new(domain.raw() ^ 1);
        }
        if block.address_mask() > 0 && self.hw.has(Bug::MaskOneTooSmall) {
            block = PageBlock::new(block.address(), block.address_mask() - 1).expect("aligned");
        }
        if self.hw.has(Bug::HintAlwaysSet) {
            leaves_only = true;
        }
        if self.hw.has(Bug::HintNeverSet) {
            leaves_only = false;
        }
        IotlbScope::Pages {
            domain,
            block,
            leaves_only,
        }
    }

    /// `FlushList::sync_map`.
    fn sync_map(&self, domain: usize, range: InvalidationRange) {
        if !self.domains[domain].needs_map_invalidation {
            return;
        }
        for &(unit, id, _) in &self.domains[domain].attachments {
            let cap = self.hw.cap(unit);
            let steps = after_map(cap, DomainId::new(id), range);
            let steps = steps.iter().filter_map(|step| match step {
                InvalidationStep::Invalidate(Invalidation::Iotlb(_))
                    if self.hw.has(Bug::MapNotInvalidated) =>
                {
                    None
                }
                InvalidationStep::Invalidate(Invalidation::Iotlb(IotlbScope::Pages {
                    domain,
                    block,
                    ..
                })) if self.hw.has(Bug::MapInvalidatedLeavesOnly) => {
                    let leaves_only = IotlbScope::Pages {
                        domain,
                        block,
                        leaves_only: true,
                    };
                    Some(InvalidationStep::Invalidate(Invalidation::Iotlb(
                        leaves_only,
                    )))
                }
                step => Some(step),
            });
            self.hw.perform(unit, steps);
            self.must_be_written(unit);
        }
    }

    /// `iommu_map`: `Paging::map_range`, then `iotlb_sync_map`, with memory for `tables` tables.
    /// Returns whether something had to be flushed before the end.
    pub(crate) fn map(&mut self, domain: usize, what: Extent, tables: i64) -> bool {
        let access = Access::new(what.rights & 1 != 0, what.rights & 2 != 0).expect("a right");
        let prot = Prot {
            access,
            snoop: false,
        };
        let mut retired = Vec::new();
        self.hw.arena.limit(tables);
        let stage = &self.domains[domain].stage;
        let (iova, phys) = (Iova::new(what.iova), PhysAddr::new(what.phys));
        let done = stage
            .map_fast(&self.hw, iova, phys, what.len, prot)
            .or_else(|rest| stage.map_existing(&self.hw, rest))
            .or_else(|rest| stage.map_slow(&self.hw, rest, &mut |page| retired.push(page)));
        self.hw.arena.limit(i64::MAX);
        let changed = match &done {
            Ok(()) if !retired.is_empty() => what.len,
            Ok(()) => 0,
            Err(failed) if !retired.is_empty() => what.len.max(failed.undone),
            Err(_) if self.hw.has(Bug::FailedMapNotFlushed) => 0,
            Err(failed) => failed.undone,
        };
        if let Some(range) = range(what.iova, changed, !retired.is_empty()) {
            if !self.hw.has(Bug::RemovedTableNotFlushed) {
                self.invalidate_range(domain, range);
            }
        }
        for page in retired {
            self.hw.free(page);
        }
        if done.is_err() {
            return true;
        }
        self.domains[domain].truth.push(what);
        if let Some(range) = range(what.iova, what.len, false) {
            self.sync_map(domain, range);
        }
        changed != 0
    }

    /// `Paging::unmap_range` of several ranges into one gather, which holds the unmapped ranges
    /// afterwards.
    pub(crate) fn unmap(&mut self, domain: usize, iova: u64, len: u64, gather: &mut Gather) {
        let tables = &mut gather.tables;
        let it = &mut self.domains[domain];
        let stage = &it.stage;
        let bytes = stage
            .unmap_fast(&self.hw, Iova::new(iova), len)
            .or_else(|rest| stage.unmap_existing(&self.hw, rest))
            .unwrap_or_else(|rest| {
                let retire = &mut |page| tables.push(page);
                stage.unmap_slow(&self.hw, rest, retire).bytes
            });
        if bytes != 0 {
            let last = iova + bytes - 1;
            let (low, high) = gather.range.unwrap_or((iova, last));
            gather.range = Some((low.min(iova), high.max(last)));
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
                let range = range(iova, len, true).expect("not empty");
                self.invalidate_range(domain, range);
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
            self.invalidate_range(domain, range);
        }
        for page in tables {
            self.hw.free(page);
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

/// `range` of src/domain/paging.rs.
fn range(iova: u64, len: u64, tables_freed: bool) -> Option<InvalidationRange> {
    let last = iova.checked_add(len.checked_sub(1)?)?;
    InvalidationRange::new(Iova::new(iova), Iova::new(last), tables_freed)
}
