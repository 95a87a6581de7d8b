// SPDX-License-Identifier: GPL-2.0

//! A unit as the readers and attachments of a domain use it.

use super::prelude::{Result, EIO, ENOSPC};
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use loom::sync::Mutex;
use std::sync::Arc;
use vtd_core::invalidation::{CacheTag, InvalidationRange, InvalidationSteps};
use vtd_core::spec::address::DomainId;
use vtd_core::spec::capability::Capability;
use vtd_core::spec::level::Stage;

/// A unit with one translation in its cache, and a table of one entry.
pub(crate) struct Unit {
    pub(crate) id: u16,
    pub(crate) table: std::sync::Arc<AtomicU64>,
    stage: Stage,
    cached: Mutex<u64>,
    full: AtomicBool,
    caching_mode: bool,
    /// Whether it confirms no invalidation.
    fails: bool,
}

/// The domain-id of every domain on the unit.
pub(crate) struct AllocatedDomainId(Arc<Unit>);

impl AllocatedDomainId {
    pub(crate) fn allocate(unit: &Arc<Unit>) -> Result<Arc<Self>> {
        if unit.full.load(Ordering::Relaxed) {
            return Err(ENOSPC);
        }
        Ok(Arc::new(Self(unit.clone())))
    }

    pub(crate) fn unit(&self) -> &Arc<Unit> {
        &self.0
    }

    pub(crate) fn id(&self) -> DomainId {
        DomainId::new(self.0.id)
    }
}

impl Unit {
    pub(crate) fn new(id: u16, table: std::sync::Arc<AtomicU64>) -> Self {
        Self {
            id,
            table,
            stage: Stage::Second,
            cached: Mutex::new(0),
            full: AtomicBool::new(false),
            caching_mode: false,
            fails: false,
        }
    }

    /// Makes a unit that walks a first-stage table.
    pub(crate) fn with_first_stage(self) -> Self {
        Self {
            stage: Stage::First,
            ..self
        }
    }

    /// Makes a unit in caching mode, which `fails` or not.
    pub(crate) fn caching(self, fails: bool) -> Self {
        Self {
            caching_mode: true,
            fails,
            ..self
        }
    }

    pub(crate) fn tag(&self) -> CacheTag {
        CacheTag::of_requester_ids(self.stage, DomainId::new(self.id))
    }

    pub(crate) fn cap(&self) -> Capability {
        Capability::from_raw(u64::from(self.caching_mode) << 7)
    }

    /// Allocates all domain-ids.
    pub(crate) fn fill(&self) {
        self.full.store(true, Ordering::Relaxed);
    }

    /// Frees domain-ids again.
    pub(crate) fn empty(&self) {
        self.full.store(false, Ordering::Relaxed);
    }

    /// Makes a request of an attached device: reads and caches the entry immediately.
    pub(crate) fn walk(&self) {
        let mut cached = self.cached.lock().unwrap();
        *cached = self.table.load(Ordering::Relaxed);
    }

    /// Invalidates everything, as the removal of a context entry does.
    pub(crate) fn invalidate_all(&self) {
        *self.cached.lock().unwrap() = 0;
    }

    pub(crate) fn cached(&self) -> u64 {
        *self.cached.lock().unwrap()
    }

    pub(crate) fn invalidate_range(&self, id: DomainId, range: InvalidationRange) {
        super::steps::step();
        let tag = CacheTag::SecondStage(id);
        let begun = self.begin_range(tag, range);
        self.finish_range(begun, tag, range);
    }

    /// Submits, so late that hardware has nothing done until the unit is waited for.
    pub(crate) fn begin_range(&self, tag: CacheTag, _: InvalidationRange) -> Begun {
        super::steps::step();
        EVENTS.with_borrow_mut(|events| events.push('b'));
        Begun(tag)
    }

    pub(crate) fn finish_range(&self, begun: Begun, _: CacheTag, _: InvalidationRange) {
        let _ = self.finish(begun);
    }

    pub(crate) fn begin_steps(&self, _: InvalidationSteps) -> Begun {
        Begun(self.tag())
    }

    pub(crate) fn finish_steps(&self, begun: Begun, _: InvalidationSteps) -> Result {
        self.finish(begun)
    }

    /// Hardware invalidates, or everything behind the unit is blocked.
    fn finish(&self, begun: Begun) -> Result {
        EVENTS.with_borrow_mut(|events| events.push('f'));
        if begun.0 == self.tag() || self.fails {
            *self.cached.lock().unwrap() = 0;
        }
        if self.fails {
            Err(EIO)
        } else {
            Ok(())
        }
    }
}

/// The tag of an invalidation that was begun.
pub(crate) struct Begun(CacheTag);

thread_local! {
    // A model and all of its threads run in one thread.
    static EVENTS: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) };
}

/// Returns a letter for each invalidation that `work` begins or finishes, in their order.
pub(crate) fn events(work: impl FnOnce()) -> String {
    EVENTS.take();
    work();
    EVENTS.take()
}
