// SPDX-License-Identifier: GPL-2.0

//! A domain as it is at one moment, for reports.

use super::paging::{Inner, TABLES};
use crate::device::Steps;
use crate::unit::Unit;
use core::sync::atomic::Ordering;
use kernel::prelude::*;
use kernel_ext::device::Name;
use vtd_core::pgtable::{Census, CensusRest, Way};
use vtd_core::spec::address::{DomainId, Iova};
use vtd_core::spec::level::AddressWidth;

/// How many parts of [`TABLES`] directories a census takes at most: enough for 16 TiB of small
/// pages.
const PARTS: u32 = 2048;

impl Inner {
    /// The device for which it was made.
    pub(crate) fn made_for(&self) -> Name {
        self.made_for
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
        self.activity.flushes()
    }

    /// Calls `f` with each unit that walks it: the unit, the domain-id there, how many devices.
    /// [`ENOMEM`]. May sleep.
    pub(crate) fn for_each_unit(&self, mut f: impl FnMut(&Unit, DomainId, u32)) -> Result {
        for (unit, id, devices) in &self.attachments.copy()? {
            f(unit, *id, *devices);
        }
        Ok(())
    }

    /// The way of `address`, see [`Attached::way`](crate::device::Attached::way).
    pub(super) fn way_of(&self, address: Iova, steps: &mut Steps) -> Way {
        let mut free = steps.iter_mut();
        self.tree.way(address, &mut |step| {
            if let Some(slot) = free.next() {
                *slot = Some(step);
            }
        })
    }

    /// Its tables and large pages as they stand; what changes meanwhile is counted or not. [`None`]
    /// if there are more than a look may take time for. May sleep.
    pub(crate) fn census(&self) -> Option<Census> {
        let mut census = Census::default();
        let mut rest = CensusRest::ALL;
        for _ in 0..PARTS {
            match self.tree.census(rest, TABLES, &mut census) {
                None => return Some(census),
                Some(next) => rest = next,
            }
        }
        None
    }
}
