// SPDX-License-Identifier: GPL-2.0

//! The units that a flush of one domain reaches, and the flush.
//!
//! # Invariants
//!
//! - A unit's published id is its domain-id plus one from before its first context entry points to
//!   the tables until after its last one has been replaced; otherwise it is 0.
//! - `other_units` is not 0 as long as a unit other than the primary one walks the tables.
//!
//! # Why no lock is needed
//!
//! A flush writes the tables, then reads the published ids, with a full barrier between. An attach
//! publishes the id, counts the unit, and then writes the context entry, with a full barrier
//! between. So either the flush sees the unit, or the unit sees what was written. A flush may race
//! with a detach and use a domain-id that was just freed. It then invalidates translations of the
//! next domain with that id, which only costs IOTLB misses.
//!
//! # Several units
//!
//! A flush begins on all units and then waits for each of them, so it takes as long as the slowest
//! unit, not as long as all together. More than eight units are flushed eight at a time. While it
//! waits, no lock is held and interrupts are as the caller left them. If a unit fails, every
//! requester behind it is blocked before the flush returns, and the flush still waits for the other
//! units.

use crate::unit::{Begun, Unit};
use core::sync::atomic::{fence, AtomicBool, AtomicU32, Ordering};
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel_ext::pages::Charge;
use vtd_core::invalidation::{after_map, InvalidationRange};
use vtd_core::spec::address::{DomainId, Iova};

/// The maximum number of units on which a flush begins before it waits for them.
const BEGUN_AT_ONCE: usize = 8;

/// All units of the machine.
pub(crate) type Units = Arc<KVec<Arc<Unit>>>;

/// The units that a flush of one domain reaches: those that have devices in the domain.
pub(super) struct FlushList {
    /// The unit of the device for which the domain was allocated.
    primary_unit: Arc<Unit>,
    /// The published id of the primary unit.
    primary_id: AtomicU32,
    /// The number of other units that have devices in the domain.
    other_units: AtomicU32,
    /// The published ids of `units`, in the same order. That of the primary unit stays 0. Empty if
    /// there is only one unit.
    other_ids: KVec<AtomicU32>,
    units: Units,
    /// Whether a unit needs an invalidation after a map. Never cleared.
    needs_map_invalidation: AtomicBool,
}

/// Returns the domain-id of a unit, if the unit has devices in the domain.
#[inline(always)]
fn read_id(published: &AtomicU32) -> Option<DomainId> {
    let id = published.load(Ordering::Relaxed).checked_sub(1)?;
    Some(DomainId::new(id as u16))
}

/// Returns the range of `len` bytes from `iova` on; [`None`] if it is empty.
pub(super) fn range_of(iova: u64, len: u64, tables_freed: bool) -> Option<InvalidationRange> {
    let last = iova.checked_add(len.checked_sub(1)?)?;
    InvalidationRange::new(Iova::new(iova), Iova::new(last), tables_freed)
}

impl FlushList {
    /// Creates an empty list. Its memory is charged to `charge`.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(super) fn new(primary_unit: Arc<Unit>, units: Units, charge: Charge) -> Result<Self> {
        let others = if units.len() > 1 { units.len() } else { 0 };
        let mut other_ids = KVec::with_capacity(others, charge.flags())?;
        for _ in 0..others {
            let _ = other_ids.push_within_capacity(AtomicU32::new(0));
        }
        Ok(FlushList {
            primary_unit,
            primary_id: AtomicU32::new(0),
            other_units: AtomicU32::new(0),
            other_ids,
            units,
            needs_map_invalidation: AtomicBool::new(false),
        })
    }

    /// Returns the unit of the device for which the domain was allocated.
    pub(super) fn primary_unit(&self) -> &Arc<Unit> {
        &self.primary_unit
    }

    /// Returns where the domain-id on `unit` is published; [`None`] if it is none of the machine's.
    pub(super) fn published_id(&self, unit: &Arc<Unit>) -> Option<&AtomicU32> {
        if Arc::ptr_eq(unit, &self.primary_unit) {
            return Some(&self.primary_id);
        }
        let at = self.units.iter().position(|one| Arc::ptr_eq(one, unit))?;
        self.other_ids.get(at)
    }

    /// Makes flushes reach a unit that is about to walk the tables, at the address that
    /// [`Self::published_id`] has returned for it. Callers exclude each other.
    pub(super) fn publish(&self, published: &AtomicU32, id: DomainId) {
        published.store(u32::from(id.raw()) + 1, Ordering::SeqCst);
        if !core::ptr::eq(published, &self.primary_id) {
            self.other_units.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Makes flushes no longer reach a unit whose translations of the domain were invalidated.
    /// Callers exclude each other.
    pub(super) fn withdraw(&self, published: &AtomicU32) {
        published.store(0, Ordering::SeqCst);
        if !core::ptr::eq(published, &self.primary_id) {
            self.other_units.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Makes every map from now on look for units that need something after it.
    pub(super) fn set_needs_map_invalidation(&self) {
        self.needs_map_invalidation.store(true, Ordering::Release);
    }

    /// Invalidates a range in the IOTLB of every unit that walks the tables, and returns when they
    /// have confirmed it. A unit that fails has blocked its devices, so there is no error to
    /// return.
    ///
    /// # Context
    ///
    /// Any context.
    #[inline]
    pub(super) fn invalidate_range(&self, range: InvalidationRange) {
        fence(Ordering::SeqCst);
        if self.other_units.load(Ordering::Relaxed) != 0 {
            self.invalidate_on_several(range);
        } else if let Some(id) = read_id(&self.primary_id) {
            self.primary_unit.invalidate_range(id, range);
        }
    }

    #[cold]
    #[inline(never)]
    fn invalidate_on_several(&self, range: InvalidationRange) {
        self.on_all_units(
            |unit, id| unit.begin_range(id, range),
            |unit, id, begun| unit.finish_range(begun, id, range),
        )
    }

    /// Calls `begin` for all units that walk the tables, and then `finish` for each of them. The
    /// caller has executed a full barrier after it wrote the tables.
    fn on_all_units(
        &self,
        begin: impl Fn(&Unit, DomainId) -> Begun,
        mut finish: impl FnMut(&Unit, DomainId, Begun),
    ) {
        let primary = core::iter::once((&self.primary_unit, &self.primary_id));
        let others = self.units.iter().zip(self.other_ids.iter());
        let mut units = Iterator::chain(primary, others)
            .filter_map(|(unit, published)| Some((unit, read_id(published)?)));
        loop {
            let mut begun = [const { None }; BEGUN_AT_ONCE];
            for (slot, (unit, id)) in begun.iter_mut().zip(&mut units) {
                *slot = Some((unit, id, begin(unit, id)));
            }
            let is_last = begun.iter().any(Option::is_none);
            // By reference: the array is not copied.
            for (unit, id, begun) in begun.iter_mut().filter_map(Option::take) {
                finish(unit, id, begun);
            }
            if is_last {
                return;
            }
        }
    }

    /// Invalidates all translations of the domain on every unit, and returns as
    /// [`Self::invalidate_range`] does.
    pub(super) fn invalidate_all(&self) {
        self.invalidate_range(InvalidationRange::ALL)
    }

    /// Makes a new mapping visible to the units. Most of them need nothing for that. Units in
    /// caching mode need an invalidation (VT-d 6.1), and units with CAP.RWBF a write-buffer flush.
    ///
    /// # Errors
    ///
    /// [`EIO`] if every unit that walks the tables has failed.
    ///
    /// # Context
    ///
    /// Any context.
    #[inline]
    pub(super) fn sync_map(&self, iova: u64, len: u64) -> Result {
        if self.needs_map_invalidation.load(Ordering::Acquire) {
            return self.sync_map_slow(iova, len);
        }
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn sync_map_slow(&self, iova: u64, len: u64) -> Result {
        let Some(range) = range_of(iova, len, false) else {
            return Ok(());
        };
        fence(Ordering::SeqCst);
        // A failed unit has blocked every requester, so only the others have to see the mapping.
        let (mut works, mut failed) = (false, Ok(()));
        self.on_all_units(
            |unit, id| unit.begin_steps(after_map(unit.cap(), id, range)),
            |unit, id, begun| {
                let one = unit.finish_steps(begun, after_map(unit.cap(), id, range));
                works |= one.is_ok();
                failed = failed.and(one);
            },
        );
        if works {
            return Ok(());
        }
        failed
    }
}
