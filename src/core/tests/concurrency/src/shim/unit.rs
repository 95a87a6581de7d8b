// SPDX-License-Identifier: GPL-2.0

//! A unit as a domain's readers and attachments see it.

use super::prelude::Result;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::sync::Mutex;
use vtd_core::invalidation::{Range, Step};
use vtd_core::spec::address::DomainId;
use vtd_core::spec::capability::Capability;
use vtd_core::spec::scope::IotlbScope;

pub(crate) enum Request {
    Iotlb(IotlbScope),
}

/// A unit with one translation in its cache, and a table of one entry.
pub(crate) struct Unit {
    pub(crate) id: u16,
    pub(crate) table: std::sync::Arc<AtomicU64>,
    cached: Mutex<u64>,
}

impl Unit {
    pub(crate) fn new(id: u16, table: std::sync::Arc<AtomicU64>) -> Self {
        Self {
            id,
            table,
            cached: Mutex::new(0),
        }
    }

    pub(crate) fn cap(&self) -> Capability {
        Capability::from_raw(0)
    }

    pub(crate) fn allocate_domain_id(&self) -> Result<DomainId> {
        Ok(DomainId::new(self.id))
    }

    pub(crate) fn free_domain_id(&self, _: DomainId) {}

    /// A request of an attached device: the entry is read and cached, at once.
    pub(crate) fn walk(&self) {
        let mut cached = self.cached.lock().unwrap();
        *cached = self.table.load(Ordering::Relaxed);
    }

    pub(crate) fn cached(&self) -> u64 {
        *self.cached.lock().unwrap()
    }

    pub(crate) fn forget(&self, id: DomainId, _: Range) {
        super::steps::step();
        if id.raw() == self.id {
            *self.cached.lock().unwrap() = 0;
        }
    }

    pub(crate) fn invalidate(&self, requests: &[Request]) -> Result {
        for Request::Iotlb(scope) in requests {
            if *scope == IotlbScope::Domain(DomainId::new(self.id)) {
                *self.cached.lock().unwrap() = 0;
            }
        }
        Ok(())
    }

    pub(crate) fn perform(&self, _: impl Iterator<Item = Step>) -> Result {
        Ok(())
    }
}
