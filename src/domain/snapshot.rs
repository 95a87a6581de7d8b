// SPDX-License-Identifier: GPL-2.0

//! The state of a domain at one moment, for reports.

use super::counters::MapCounts;
use super::paging::{DomainInner, TABLES_PER_VISIT};
use super::registry::Listed;
use crate::device::TraceSteps;
use crate::unit::Unit;
use core::sync::atomic::Ordering;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel_ext::device::Name;
use vtd_core::pgtable::{CountCursor, TableCounts, WalkTrace};
use vtd_core::spec::address::{DomainId, Iova};
use vtd_core::spec::level::AddressWidth;
use vtd_core::spec::registers::TranslationTableMode;

/// The maximum number of steps, of [`TABLES_PER_VISIT`] page tables each, in one count of tables:
/// enough for 16 TiB of 4 KiB pages.
const MAX_VISITS: u32 = 2048;

impl DomainInner {
    /// Returns the device for which it was allocated.
    pub(crate) fn allocated_for(&self) -> Name {
        self.allocated_for
    }

    /// Returns the address width of its page tables.
    pub(crate) fn width(&self) -> AddressWidth {
        self.format.geometry.width
    }

    /// Returns whether the units that walk its page tables snoop the processor caches.
    pub(crate) fn is_coherent(&self) -> bool {
        self.format.coherent
    }

    /// Returns whether flushes are deferred in it.
    pub(crate) fn is_lazy(&self) -> bool {
        self.flushing.is_lazy()
    }

    /// Returns whether its leaves force the devices' accesses to snoop the processor caches.
    pub(crate) fn snoops(&self) -> bool {
        self.snoop.load(Ordering::Relaxed)
    }

    /// Returns the numbers of range invalidations and of invalidations of the whole domain.
    pub(crate) fn flushes(&self) -> (u64, u64) {
        self.counters.flushes()
    }

    /// Calls `f` with each unit in its list, the domain-id there, and the number of devices.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn for_each_unit(&self, mut f: impl FnMut(&Unit, DomainId, u32)) -> Result {
        for (unit, id, devices) in &self.attachments.snapshot()? {
            f(unit, *id, *devices);
        }
        Ok(())
    }

    /// Traces the walk of `address`, see
    /// [`AttachedDomain::trace_walk`](crate::device::AttachedDomain::trace_walk).
    pub(super) fn trace_into(
        &self,
        address: Iova,
        mode: TranslationTableMode,
        steps: &mut TraceSteps,
    ) -> WalkTrace {
        let mut free = steps.iter_mut();
        self.tables.trace_walk(address, mode, &mut |step| {
            if let Some(slot) = free.next() {
                *slot = Some(step);
            }
        })
    }

    /// Counts its page tables and large pages. Concurrent changes may or may not be counted.
    /// [`None`] if there are too many to count in reasonable time.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn count_tables(&self) -> Option<TableCounts> {
        let mut counts = TableCounts::default();
        let mut rest = CountCursor::ALL;
        for _ in 0..MAX_VISITS {
            match self
                .tables
                .count_tables(rest, TABLES_PER_VISIT, &mut counts)
            {
                None => return Some(counts),
                Some(next) => rest = next,
            }
        }
        None
    }
}

impl Listed for DomainInner {
    fn number(&self) -> u64 {
        self.number
    }

    fn primary_unit(&self) -> &Arc<Unit> {
        &self.primary_unit
    }

    fn mapped(&self) -> MapCounts {
        MapCounts {
            held: self.holding.counts(),
            ..self.counters.mapped()
        }
    }
}
