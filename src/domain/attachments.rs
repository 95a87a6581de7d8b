// SPDX-License-Identifier: GPL-2.0

//! The units that walk the tables of one domain.
//!
//! # Invariants
//!
//! - A unit is in the list, with a domain-id of its own numbering, from before the first of its
//!   context entries names the tables until after the last one is gone from its caches.
//! - Whoever changes the tables flushes every unit in the list that has devices here; a unit that
//!   joins later has cached nothing of what was there before.
//! - `home_id` is the home unit's domain-id plus one from before its first context entry to after its
//!   last one, else 0; `others` counts the other units with devices here.
//! - The home unit is in the list from [the beginning](Attachments::prepare) to the first time that
//!   its last device leaves.
//! - What was [kept](Attachments::keep) stays in the list, with its domain-id, when its last device
//!   has left: the way back to the kernel's domain must need neither memory nor a free id.
//!
//! # Locks
//!
//! None on the way of an unmap in a domain that one unit walks, which is almost all of them: the
//! tables are written, then `home_id` is read, with a full barrier between; a unit that joins sets
//! it before its context entry. So either the flush sees the unit, or the unit sees what was written.
//! A flush that meets a unit which has just left drops too much, of nobody or of the next owner of
//! the domain-id, and that is all.
//!
//! `list` orders joining and leaving, and is held while other units are flushed.

use crate::unit::{Request, Unit};
use core::sync::atomic::{fence, AtomicBool, AtomicU32, Ordering};
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel_ext::lock::IrqSpinLock;
use vtd_core::invalidation::{after_map, Range};
use vtd_core::spec::address::{DomainId, Iova};
use vtd_core::spec::scope::IotlbScope;

struct Attachment {
    unit: Arc<Unit>,
    id: DomainId,
    devices: u32,
}

impl Attachment {
    /// Whether devices walk the tables there.
    fn in_use(entry: &&Self) -> bool {
        entry.devices > 0
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        // Nothing is cached under it: the last device has left, or none has come.
        self.unit.free_domain_id(self.id);
    }
}

/// The range of `len` bytes from `iova` on; [`None`] for an empty one.
pub(super) fn range(iova: u64, len: u64, tables_freed: bool) -> Option<Range> {
    let last = iova.checked_add(len.checked_sub(1)?)?;
    Range::new(Iova::new(iova), Iova::new(last), tables_freed)
}

/// The list.
#[pin_data]
pub(super) struct Attachments {
    /// The unit for which the domain was made.
    home: Arc<Unit>,
    home_id: AtomicU32,
    others: AtomicU32,
    /// Whether a unit of the list must be told of new mappings; stays set once it was.
    wants_news: AtomicBool,
    /// Whether units stay in the list without devices.
    kept: AtomicBool,
    #[pin]
    list: IrqSpinLock<KVec<Attachment>>,
}

impl Attachments {
    /// No units.
    pub(super) fn new(home: Arc<Unit>) -> impl PinInit<Self> {
        pin_init!(Self {
            home,
            home_id: AtomicU32::new(0),
            others: AtomicU32::new(0),
            wants_news: AtomicBool::new(false),
            kept: AtomicBool::new(false),
            list <- kernel_ext::new_irq_spinlock!(KVec::new(), c"vtd domain attachments"),
        })
    }

    /// Units stay in the list from now on, so that a device that was here can always come back.
    pub(super) fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed)
    }

    /// Puts the home unit into the list, with a domain-id and no device, so that the first one that
    /// joins it needs neither memory nor a free id. [`ENOMEM`], [`ENOSPC`]. May sleep.
    pub(super) fn prepare(&self) -> Result {
        self.list_unit(&self.home, 0).map(|_| ())
    }

    /// Adds a device behind `unit`; returns the domain-id to use. May sleep.
    pub(super) fn join(&self, unit: &Arc<Unit>) -> Result<DomainId> {
        match self.count_one_more(unit) {
            Some(id) => Ok(id),
            None => self.list_unit(unit, 1),
        }
    }

    /// Puts a unit into the list that is not in it.
    fn list_unit(&self, unit: &Arc<Unit>, devices: u32) -> Result<DomainId> {
        let id = unit.allocate_domain_id()?;
        if unit.cap().caching_mode() || unit.cap().needs_write_buffer_flush() {
            self.wants_news.store(true, Ordering::Release);
        }
        self.add(Attachment {
            unit: unit.clone(),
            id,
            devices,
        })?;
        Ok(id)
    }

    fn count_one_more(&self, unit: &Arc<Unit>) -> Option<DomainId> {
        self.list.with(|list| {
            let entry = list
                .iter_mut()
                .find(|entry| Arc::ptr_eq(&entry.unit, unit))?;
            if entry.devices == 0 {
                self.begins(unit, entry.id);
            }
            entry.devices += 1;
            Some(entry.id)
        })
    }

    /// `unit` is about to walk the tables; with the list locked.
    fn begins(&self, unit: &Arc<Unit>, id: DomainId) {
        if Arc::ptr_eq(unit, &self.home) {
            self.home_id
                .store(u32::from(id.raw()) + 1, Ordering::SeqCst);
        } else {
            self.others.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Adds an entry; memory for it is found, and that of before given back, without the lock.
    fn add(&self, entry: Attachment) -> Result {
        let (unit, id, devices) = (entry.unit.clone(), entry.id, entry.devices);
        let mut entry = Some(entry);
        loop {
            let len = self.list.with(|list| list.len());
            // There is room for those of before and the new one.
            let mut room = KVec::with_capacity(len + 1, GFP_KERNEL)?;
            let added = self.list.with(|list| {
                if list.len() > len {
                    return false;
                }
                core::mem::swap(list, &mut room);
                for old in room.drain_all() {
                    let _ = list.push_within_capacity(old);
                }
                if let Some(entry) = entry.take() {
                    let _ = list.push_within_capacity(entry);
                }
                if devices > 0 {
                    self.begins(&unit, id);
                }
                true
            });
            if added {
                return Ok(());
            }
        }
    }

    /// Takes a device behind `unit` away; nothing of it is cached any more. May sleep.
    pub(super) fn leave(&self, unit: &Arc<Unit>) {
        let gone = self.list.with(|list| {
            let at = list
                .iter()
                .position(|entry| Arc::ptr_eq(&entry.unit, unit))?;
            let entry = list.get_mut(at)?;
            entry.devices -= 1;
            if entry.devices > 0 {
                return None;
            }
            if Arc::ptr_eq(unit, &self.home) {
                self.home_id.store(0, Ordering::SeqCst);
            } else {
                self.others.fetch_sub(1, Ordering::SeqCst);
            }
            if self.kept.load(Ordering::Relaxed) {
                return None;
            }
            list.remove(at).ok()
        });
        // Without the lock: giving the id back may sleep.
        drop(gone);
    }

    /// Whether `condition` holds for every unit.
    pub(super) fn all(&self, condition: impl Fn(&Unit) -> bool) -> bool {
        self.list.with(|list| {
            let mut in_use = list.iter().filter(Attachment::in_use);
            in_use.all(|entry| condition(&entry.unit))
        })
    }

    /// The units with their domain-ids and how many devices, as they are now. [`ENOMEM`]. May sleep.
    pub(super) fn copy(&self) -> Result<KVec<(Arc<Unit>, DomainId, u32)>> {
        loop {
            let len = self.list.with(|list| list.len());
            let mut copy = KVec::with_capacity(len, GFP_KERNEL)?;
            let copied = self.list.with(|list| {
                if list.len() > len {
                    return false;
                }
                for entry in list.iter() {
                    let of_unit = (entry.unit.clone(), entry.id, entry.devices);
                    let _ = copy.push_within_capacity(of_unit);
                }
                true
            });
            if copied {
                return Ok(copy);
            }
        }
    }

    /// Makes all units forget a range. A unit that fails has blocked its devices, so there is no
    /// error to return. Any context.
    #[inline]
    pub(super) fn forget(&self, range: Range) {
        fence(Ordering::SeqCst);
        if let Some(id) = self.home_id.load(Ordering::Relaxed).checked_sub(1) {
            self.home.forget(DomainId::new(id as u16), range);
        }
        if self.others.load(Ordering::Relaxed) != 0 {
            self.forget_elsewhere(range);
        }
    }

    #[cold]
    fn forget_elsewhere(&self, range: Range) {
        self.list.with(|list| {
            for entry in list.iter().filter(Attachment::in_use) {
                if !Arc::ptr_eq(&entry.unit, &self.home) {
                    entry.unit.forget(entry.id, range);
                }
            }
        })
    }

    /// Makes all units forget the domain. As [`Self::forget`].
    pub(super) fn forget_all(&self) {
        self.list.with(|list| {
            for entry in list.iter().filter(Attachment::in_use) {
                let scope = IotlbScope::Domain(entry.id);
                let _ = entry.unit.invalidate(&[Request::Iotlb(scope)]);
            }
        })
    }

    /// Does what the units need to see new mappings in `range`. [`EIO`] if one has failed. Any
    /// context.
    #[inline]
    pub(super) fn publish(&self, iova: u64, len: u64) -> Result {
        if self.wants_news.load(Ordering::Acquire) {
            return self.tell(iova, len);
        }
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn tell(&self, iova: u64, len: u64) -> Result {
        let Some(range) = range(iova, len, false) else {
            return Ok(());
        };
        self.list.with(|list| {
            for entry in list.iter().filter(Attachment::in_use) {
                let steps = after_map(entry.unit.cap(), entry.id, range);
                if !steps.is_empty() {
                    entry.unit.perform(steps.iter())?;
                }
            }
            Ok(())
        })
    }
}
