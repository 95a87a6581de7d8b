// SPDX-License-Identifier: GPL-2.0

//! The units that walk the tables of one domain.
//!
//! # Invariants
//!
//! - A unit is in the list, with a domain-id of its own numbering, from before the first of its
//!   context entries names the tables until after the last one is gone from its caches.
//! - Whoever changes the tables flushes every unit in the list; a unit that joins later has cached
//!   nothing of what was there before.
//!
//! # Locks
//!
//! `list` is held while the units are flushed: a unit cannot leave, and give its domain-id to
//! another domain, in between.

use crate::unit::{Request, Unit};
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel_ext::lock::IrqSpinLock;
use vtd_core::invalidation::{after_map, forget_range, Range};
use vtd_core::spec::address::DomainId;
use vtd_core::spec::scope::IotlbScope;

/// Invalidations spent on one range: as many as it saves in excess is not known yet, so one.
const BUDGET: u32 = 1;

struct Attachment {
    unit: Arc<Unit>,
    id: DomainId,
    devices: u32,
}

/// The list.
#[pin_data]
pub(super) struct Attachments {
    /// Whether a unit of the list must be told of new mappings; stays set once it was.
    wants_news: AtomicBool,
    #[pin]
    list: IrqSpinLock<KVec<Attachment>>,
}

impl Attachments {
    /// No units.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            wants_news: AtomicBool::new(false),
            list <- kernel_ext::new_irq_spinlock!(KVec::new(), c"vtd domain attachments"),
        })
    }

    /// Adds a device behind `unit`; returns the domain-id to use. May sleep.
    pub(super) fn join(&self, unit: &Arc<Unit>) -> Result<DomainId> {
        if let Some(id) = self.count_one_more(unit) {
            return Ok(id);
        }
        let id = unit.allocate_domain_id()?;
        if unit.cap().caching_mode() || unit.cap().needs_write_buffer_flush() {
            self.wants_news.store(true, Ordering::Release);
        }
        let entry = Attachment {
            unit: unit.clone(),
            id,
            devices: 1,
        };
        if let Err(e) = self.add(entry) {
            unit.free_domain_id(id);
            return Err(e);
        }
        Ok(id)
    }

    fn count_one_more(&self, unit: &Arc<Unit>) -> Option<DomainId> {
        let mut list = self.list.lock();
        let entry = list
            .iter_mut()
            .find(|entry| Arc::ptr_eq(&entry.unit, unit))?;
        entry.devices += 1;
        Some(entry.id)
    }

    /// Adds an entry; memory for it is found without the lock.
    fn add(&self, entry: Attachment) -> Result {
        loop {
            let len = self.list.lock().len();
            let mut room = KVec::with_capacity(len + 1, GFP_KERNEL)?;
            let mut list = self.list.lock();
            if list.len() > len {
                continue;
            }
            core::mem::swap(&mut *list, &mut room);
            for old in room {
                // There is room: `len + 1` was reserved.
                let _ = list.push_within_capacity(old);
            }
            return list.push_within_capacity(entry).map_err(|_| ENOMEM);
        }
    }

    /// Takes a device behind `unit` away; nothing of it is cached any more. May sleep.
    pub(super) fn leave(&self, unit: &Arc<Unit>) {
        let gone = {
            let mut list = self.list.lock();
            let Some(at) = list.iter().position(|entry| Arc::ptr_eq(&entry.unit, unit)) else {
                return;
            };
            let Some(entry) = list.get_mut(at) else {
                return;
            };
            entry.devices -= 1;
            if entry.devices > 0 {
                return;
            }
            list.remove(at)
        };
        if let Ok(entry) = gone {
            entry.unit.free_domain_id(entry.id);
        }
    }

    /// Whether `condition` holds for every unit.
    pub(super) fn all(&self, condition: impl Fn(&Unit) -> bool) -> bool {
        self.list.lock().iter().all(|entry| condition(&entry.unit))
    }

    /// Makes all units forget a range. A unit that fails has blocked its devices, so there is no
    /// error to return. Any context.
    pub(super) fn forget(&self, range: Range) {
        for entry in self.list.lock().iter() {
            for scope in forget_range(entry.unit.cap(), entry.id, range, BUDGET) {
                let _ = entry.unit.invalidate(&[Request::Iotlb(scope)]);
            }
        }
    }

    /// Makes all units forget the domain. As [`Self::forget`].
    pub(super) fn forget_all(&self) {
        for entry in self.list.lock().iter() {
            let scope = IotlbScope::Domain(entry.id);
            let _ = entry.unit.invalidate(&[Request::Iotlb(scope)]);
        }
    }

    /// Does what the units need to see new mappings in `range`. [`EIO`] if one has failed. Any
    /// context.
    #[inline]
    pub(super) fn publish(&self, range: impl FnOnce() -> Option<Range>) -> Result {
        if !self.wants_news.load(Ordering::Acquire) {
            return Ok(());
        }
        range().map_or(Ok(()), |range| self.tell(range))
    }

    fn tell(&self, range: Range) -> Result {
        for entry in self.list.lock().iter() {
            let steps = after_map(entry.unit.cap(), entry.id, range);
            if !steps.is_empty() {
                entry.unit.perform(steps.iter())?;
            }
        }
        Ok(())
    }
}
