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

use super::atomic::{fence, AtomicBool, AtomicU32, Ordering};
use crate::invalidation::{after_map, InvalidationRange, InvalidationSteps};
use crate::spec::address::{DomainId, Iova};
use crate::spec::capability::Capability;

/// The maximum number of units on which a flush begins before it waits for them.
const BEGUN_AT_ONCE: usize = 8;

/// A unit, as a flush uses it. To begin never waits for hardware.
pub trait FlushedUnit {
    /// What was begun, to be finished.
    type Begun;

    /// The reason why the unit did not confirm an invalidation.
    type Error: Copy;

    /// Returns the capabilities.
    fn cap(&self) -> Capability;

    /// Invalidates what the unit has cached of `range` in the domain `id`. Returns when the unit
    /// has confirmed it, or when it has failed and every requester behind it is blocked.
    fn invalidate_range(&self, id: DomainId, range: InvalidationRange);

    /// Begins the same.
    fn begin_range(&self, id: DomainId, range: InvalidationRange) -> Self::Begun;

    /// Finishes what [`Self::begin_range`] began, and returns as [`Self::invalidate_range`] does.
    fn finish_range(&self, begun: Self::Begun, id: DomainId, range: InvalidationRange);

    /// Begins the `steps` that a change of tables requires.
    fn begin_steps(&self, steps: InvalidationSteps) -> Self::Begun;

    /// Returns when the unit has confirmed the `steps` that [`Self::begin_steps`] began.
    ///
    /// # Errors
    ///
    /// The reason why it did not; every requester behind it is blocked then.
    fn finish_steps(&self, begun: Self::Begun, steps: InvalidationSteps)
        -> Result<(), Self::Error>;
}

/// All units of the machine, as one domain uses them.
pub trait DomainUnits {
    /// A unit.
    type Unit: FlushedUnit;

    /// Returns the unit of the device for which the domain was allocated.
    fn primary(&self) -> &Self::Unit;

    /// Returns all units and where their domain-ids are published. That of the primary unit is not
    /// used here. Nothing if there is only one unit.
    fn others(&self) -> impl Iterator<Item = (&Self::Unit, &PublishedId)>;
}

/// Where the domain-id of one unit is published, for flushes.
pub struct PublishedId(AtomicU32);

impl PublishedId {
    /// Creates one that holds no id.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Returns the domain-id, if the unit has devices in the domain.
    #[inline(always)]
    fn read(&self) -> Option<DomainId> {
        let id = self.0.load(Ordering::Relaxed).checked_sub(1)?;
        Some(DomainId::new(id as u16))
    }
}

type Begun<U> = <<U as DomainUnits>::Unit as FlushedUnit>::Begun;
type Error<U> = <<U as DomainUnits>::Unit as FlushedUnit>::Error;

/// The units that a flush of one domain reaches: those that have devices in the domain. It begins
/// on up to `AT_ONCE` of them before it waits.
pub struct FlushList<U, const AT_ONCE: usize = BEGUN_AT_ONCE> {
    /// The published id of the primary unit.
    primary_id: PublishedId,
    /// The number of other units that have devices in the domain.
    other_units: AtomicU32,
    /// Whether a unit needs an invalidation after a map. Never cleared.
    needs_map_invalidation: AtomicBool,
    units: U,
}

impl<U: DomainUnits, const AT_ONCE: usize> FlushList<U, AT_ONCE> {
    /// Creates an empty list of `units`.
    pub fn new(units: U) -> Self {
        Self {
            primary_id: PublishedId::new(),
            other_units: AtomicU32::new(0),
            needs_map_invalidation: AtomicBool::new(false),
            units,
        }
    }

    /// Returns all units.
    pub fn units(&self) -> &U {
        &self.units
    }

    /// Returns where the id of the primary unit is published.
    pub fn primary_id(&self) -> &PublishedId {
        &self.primary_id
    }

    /// Makes flushes reach a unit that is about to walk the tables, whose id is published at
    /// `published`. Callers exclude each other.
    pub fn publish(&self, published: &PublishedId, id: DomainId) {
        let id = u32::from(id.raw()) + 1;
        published.0.store(id, Ordering::SeqCst);
        if !core::ptr::eq(published, &self.primary_id) {
            self.other_units.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Makes flushes no longer reach a unit whose translations of the domain were invalidated.
    /// Callers exclude each other.
    pub fn withdraw(&self, published: &PublishedId) {
        published.0.store(0, Ordering::SeqCst);
        if !core::ptr::eq(published, &self.primary_id) {
            self.other_units.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Makes every map from now on look for units that need something after it, if a unit with
    /// `cap` does.
    pub fn note_map_invalidation(&self, cap: Capability) {
        if cap.caching_mode() || cap.needs_write_buffer_flush() {
            self.needs_map_invalidation.store(true, Ordering::Release);
        }
    }

    /// Invalidates a range in the IOTLB of every unit that walks the tables, and returns when they
    /// have confirmed it. A unit that fails has blocked its devices, so there is no error to
    /// return.
    #[inline]
    pub fn invalidate_range(&self, range: InvalidationRange) {
        fence(Ordering::SeqCst);
        if self.other_units.load(Ordering::Relaxed) != 0 {
            self.invalidate_on_several(range);
        } else if let Some(id) = self.primary_id.read() {
            self.units.primary().invalidate_range(id, range);
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
        begin: impl Fn(&U::Unit, DomainId) -> Begun<U>,
        mut finish: impl FnMut(&U::Unit, DomainId, Begun<U>),
    ) {
        let primary = core::iter::once((self.units.primary(), &self.primary_id));
        let mut units = Iterator::chain(primary, self.units.others())
            .filter_map(|(unit, published)| Some((unit, published.read()?)));
        loop {
            let mut begun = [const { None }; AT_ONCE];
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
    pub fn invalidate_all(&self) {
        self.invalidate_range(InvalidationRange::ALL)
    }

    /// Makes a new mapping visible to the units. Most of them need nothing for that. Units in
    /// caching mode need an invalidation (VT-d 6.1), and units with CAP.RWBF a write-buffer flush.
    ///
    /// # Errors
    ///
    /// The error of [`FlushedUnit::finish_steps`] if every unit that walks the tables has failed.
    #[inline]
    pub fn sync_map(&self, iova: Iova, len: u64) -> Result<(), Error<U>> {
        if self.needs_map_invalidation.load(Ordering::Acquire) {
            return self.sync_map_slow(iova, len);
        }
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn sync_map_slow(&self, iova: Iova, len: u64) -> Result<(), Error<U>> {
        let Some(range) = InvalidationRange::of(iova, len, false) else {
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
