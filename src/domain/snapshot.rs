// SPDX-License-Identifier: GPL-2.0

//! A domain as it is at one moment, for reports.

use super::paging::{DomainInner, TABLES_PER_VISIT};
use crate::device::TraceSteps;
use crate::unit::Unit;
use core::sync::atomic::Ordering;
use kernel::prelude::*;
use kernel_ext::device::Name;
use vtd_core::pgtable::{CountCursor, TableCounts, WalkTrace};
use vtd_core::spec::address::{DomainId, Iova};
use vtd_core::spec::level::AddressWidth;

/// How many parts of [`TABLES_PER_VISIT`] directories a census takes at most: enough for 16 TiB of small
/// pages.
const MAX_VISITS: u32 = 2048;

impl DomainInner {
    /// The device for which it was made.
    pub(crate) fn allocated_for(&self) -> Name {
        self.allocated_for
    }

    /// The width of its tables.
    pub(crate) fn width(&self) -> AddressWidth {
        self.format.geometry.width
    }

    /// Whether its tables are for units that snoop caches when they walk.
    pub(crate) fn is_coherent(&self) -> bool {
        self.format.coherent
    }

    /// Whether flushes are deferred in it.
    pub(crate) fn is_lazy(&self) -> bool {
        self.flushing.is_lazy()
    }

    /// Whether the devices in it are made to snoop caches.
    pub(crate) fn snoops(&self) -> bool {
        self.snoop.load(Ordering::Relaxed)
    }

    /// How often units were made to forget what was unmapped, and how often everything.
    pub(crate) fn flushes(&self) -> (u64, u64) {
        self.counters.flushes()
    }

    /// Calls `f` with each unit that walks it: the unit, the domain-id there, how many devices.
    /// [`ENOMEM`]. May sleep.
    pub(crate) fn for_each_unit(&self, mut f: impl FnMut(&Unit, DomainId, u32)) -> Result {
        for (unit, id, devices) in &self.attachments.snapshot()? {
            f(unit, *id, *devices);
        }
        Ok(())
    }

    /// The way of `address`, see [`AttachedDomain::trace_walk`](crate::device::AttachedDomain::trace_walk).
    pub(super) fn trace_into(&self, address: Iova, steps: &mut TraceSteps) -> WalkTrace {
        let mut free = steps.iter_mut();
        self.tree.trace_walk(address, &mut |step| {
            if let Some(slot) = free.next() {
                *slot = Some(step);
            }
        })
    }

    /// Its tables and large pages as they stand; what changes meanwhile is counted or not. [`None`]
    /// if there are more than a look may take time for. May sleep.
    pub(crate) fn count_tables(&self) -> Option<TableCounts> {
        let mut census = TableCounts::default();
        let mut rest = CountCursor::ALL;
        for _ in 0..MAX_VISITS {
            match self.tree.count_tables(rest, TABLES_PER_VISIT, &mut census) {
                None => return Some(census),
                Some(next) => rest = next,
            }
        }
        None
    }
}
