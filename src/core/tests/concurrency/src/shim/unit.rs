// SPDX-License-Identifier: GPL-2.0

//! A unit as the readers and attachments of a domain use it.

use super::prelude::{Result, ENOSPC};
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use loom::sync::Mutex;
use std::sync::Arc;
use vtd_core::invalidation::{Invalidation, InvalidationRange, InvalidationStep};
use vtd_core::spec::address::DomainId;
use vtd_core::spec::capability::Capability;
use vtd_core::spec::scope::IotlbScope;

/// A unit with one translation in its cache, and a table of one entry.
pub(crate) struct Unit {
    pub(crate) id: u16,
    pub(crate) table: std::sync::Arc<AtomicU64>,
    cached: Mutex<u64>,
    full: AtomicBool,
}

#[derive(Clone, Copy)]
pub(crate) enum DomainIdOwner {
    Kernel,
    User,
}

pub(crate) struct Charge;

impl DomainIdOwner {
    pub(crate) fn charge(self) -> Charge {
        Charge
    }
}

impl Charge {
    pub(crate) fn flags(self) {}
}

/// The domain-id of every domain on the unit.
pub(crate) struct AllocatedDomainId(Arc<Unit>);

impl AllocatedDomainId {
    pub(crate) fn allocate(unit: &Arc<Unit>, _: DomainIdOwner) -> Result<Arc<Self>> {
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
            cached: Mutex::new(0),
            full: AtomicBool::new(false),
        }
    }

    pub(crate) fn cap(&self) -> Capability {
        Capability::from_raw(0)
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

    pub(crate) fn cached(&self) -> u64 {
        *self.cached.lock().unwrap()
    }

    pub(crate) fn invalidate_range(&self, id: DomainId, _: InvalidationRange) {
        super::steps::step();
        if id.raw() == self.id {
            *self.cached.lock().unwrap() = 0;
        }
    }

    pub(crate) fn invalidate(&self, requests: &[Invalidation]) -> Result {
        for request in requests {
            if *request == Invalidation::Iotlb(IotlbScope::Domain(DomainId::new(self.id))) {
                *self.cached.lock().unwrap() = 0;
            }
        }
        Ok(())
    }

    pub(crate) fn perform(&self, _: impl Iterator<Item = InvalidationStep>) -> Result {
        Ok(())
    }
}
