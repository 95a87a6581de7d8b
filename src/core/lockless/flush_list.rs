// SPDX-License-Identifier: GPL-2.0

//! The units that a flush of one domain reaches, and the flush.
//!
//! # Invariants
//!
//! - The tag of a unit's translations is published from before its first context entry points to
//!   the tables until after its last one has been replaced; otherwise nothing is.
//! - `others` is not 0 as long as a tag other than that of the primary unit is published, or the TLB of
//!   a device may have translations of the domain.
//!
//! # Why no lock is needed
//!
//! A flush writes the tables, then reads the published tags, with a full barrier between. An attach
//! publishes the tag, counts it, and then writes the context entry, with a full barrier
//! between. So either the flush sees the unit, or the unit sees what was written. A flush may race
//! with a detach and use a domain-id that was just freed. It then invalidates translations of the
//! next domain with that id, which only costs IOTLB misses.
//!
//! # One tag
//!
//! Most domains have one tag, on the primary unit. Their flush finds that by two loads. A unit may have
//! several tags in a domain: with a first stage there is one for each PASID. A flush that has to reach
//! the TLBs of devices, too, does not use this fast path.
//!
//! # Several units
//!
//! A flush begins on all units and then waits for each of them, so it takes as long as the slowest
//! unit, not as long as all together. More than eight units are flushed eight at a time. While it
//! waits, no lock is held and interrupts are as the caller left them. If a unit fails, every
//! requester behind it is blocked before the flush returns, and the flush still waits for the other
//! units.

use super::atomic::{fence, AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::invalidation::{after_map, CacheTag, InvalidationRange, InvalidationSteps};
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

    /// Invalidates what the unit has cached of `range` of a second stage with the domain-id `id`.
    /// Returns when the unit has confirmed it, or when it has failed and every requester behind it
    /// is blocked.
    fn invalidate_range(&self, id: DomainId, range: InvalidationRange);

    /// Begins the same for what is tagged with `tag`, in the TLBs of devices as well.
    fn begin_range(&self, tag: CacheTag, range: InvalidationRange) -> Self::Begun;

    /// Finishes what [`Self::begin_range`] began, and returns as [`Self::invalidate_range`] does.
    fn finish_range(&self, begun: Self::Begun, tag: CacheTag, range: InvalidationRange);

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

    /// Returns where further tags are published, and their units.
    fn others(&self) -> impl Iterator<Item = (&Self::Unit, &PublishedTag)>;
}

/// Where one tag of one unit is published, for flushes: [`CacheTag::packed`], or 0.
pub struct PublishedTag(AtomicU64);

impl PublishedTag {
    /// Creates one that holds no tag.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Returns the tag, if the unit has devices in the domain.
    fn read(&self) -> Option<CacheTag> {
        CacheTag::unpack(self.0.load(Ordering::Relaxed))
    }
}

type Begun<U> = <<U as DomainUnits>::Unit as FlushedUnit>::Begun;
type Error<U> = <<U as DomainUnits>::Unit as FlushedUnit>::Error;

/// The units that a flush of one domain reaches: those that have devices in the domain. It begins
/// on up to `AT_ONCE` of them before it waits.
pub struct FlushList<U, const AT_ONCE: usize = BEGUN_AT_ONCE> {
    /// The published tag of the primary unit, or one of them.
    primary_tag: PublishedTag,
    /// The number of other tags, and of device-TLBs.
    others: AtomicU32,
    /// Whether a unit needs an invalidation after a map. Never cleared.
    needs_map_invalidation: AtomicBool,
    units: U,
}

impl<U: DomainUnits, const AT_ONCE: usize> FlushList<U, AT_ONCE> {
    /// Creates an empty list of `units`.
    pub fn new(units: U) -> Self {
        Self {
            primary_tag: PublishedTag::new(),
            others: AtomicU32::new(0),
            needs_map_invalidation: AtomicBool::new(false),
            units,
        }
    }

    /// Returns all units.
    pub fn units(&self) -> &U {
        &self.units
    }

    /// Returns where the tag of the primary unit is published.
    pub fn primary_tag(&self) -> &PublishedTag {
        &self.primary_tag
    }

    /// Makes flushes reach a unit that is about to walk the tables, whose `tag` is published at
    /// `published`. Callers exclude each other.
    pub fn publish(&self, published: &PublishedTag, tag: CacheTag) {
        published.0.store(tag.packed(), Ordering::SeqCst);
        if !core::ptr::eq(published, &self.primary_tag) {
            self.others.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Makes flushes no longer reach a unit whose translations of the domain were invalidated.
    /// Callers exclude each other.
    pub fn withdraw(&self, published: &PublishedTag) {
        published.0.store(0, Ordering::SeqCst);
        if !core::ptr::eq(published, &self.primary_tag) {
            self.others.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Makes flushes look for the TLBs of devices, one more (`more`) or one fewer. One is counted
    /// from before a device may use it for the domain until the unit has dropped the device's context
    /// entry.
    pub fn count_device_tlb(&self, more: bool) {
        match more {
            true => self.others.fetch_add(1, Ordering::SeqCst),
            false => self.others.fetch_sub(1, Ordering::SeqCst),
        };
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
        let primary = self.primary_tag.0.load(Ordering::Relaxed);
        if self.others.load(Ordering::Relaxed) != 0 {
            self.invalidate_tags(range);
        } else if let Some(id) = CacheTag::unpack_second_stage(primary) {
            self.units.primary().invalidate_range(id, range);
        } else if primary != 0 {
            self.invalidate_tags(range);
        }
    }

    /// Invalidates a range of several tags, or of one of a first stage. The caller has executed a full
    /// barrier after it wrote the tables.
    // Called with what `invalidate_range` has, whose fast path then keeps nothing for this.
    #[cold]
    #[inline(never)]
    fn invalidate_tags(&self, range: InvalidationRange) {
        if self.others.load(Ordering::Relaxed) != 0 {
            self.invalidate_all_tags(range);
        } else if let Some(tag) = self.primary_tag.read() {
            let unit = self.units.primary();
            let begun = unit.begin_range(tag, range);
            unit.finish_range(begun, tag, range);
        }
    }

    #[cold]
    #[inline(never)]
    fn invalidate_all_tags(&self, range: InvalidationRange) {
        self.on_all_tags(
            |unit, tag| unit.begin_range(tag, range),
            |unit, tag, begun| unit.finish_range(begun, tag, range),
        )
    }

    /// Calls `begin` for all tags, and then `finish` for each of them. The
    /// caller has executed a full barrier after it wrote the tables.
    fn on_all_tags(
        &self,
        begin: impl Fn(&U::Unit, CacheTag) -> Begun<U>,
        mut finish: impl FnMut(&U::Unit, CacheTag, Begun<U>),
    ) {
        let primary = core::iter::once((self.units.primary(), &self.primary_tag));
        let mut units = Iterator::chain(primary, self.units.others())
            .filter_map(|(unit, published)| Some((unit, published.read()?)));
        loop {
            let mut begun = [const { None }; AT_ONCE];
            for (slot, (unit, tag)) in begun.iter_mut().zip(&mut units) {
                *slot = Some((unit, tag, begin(unit, tag)));
            }
            let is_last = begun.iter().any(Option::is_none);
            // By reference: the array is not copied.
            for (unit, tag, begun) in begun.iter_mut().filter_map(Option::take) {
                finish(unit, tag, begun);
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
        self.on_all_tags(
            |unit, tag| unit.begin_steps(after_map(unit.cap(), tag, range)),
            |unit, tag, begun| {
                let one = unit.finish_steps(begun, after_map(unit.cap(), tag, range));
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
