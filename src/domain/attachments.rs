// SPDX-License-Identifier: GPL-2.0

//! The units that walk the tables of one domain.
//!
//! # Invariants
//!
//! - A unit is in the list, with a domain-id of its own numbering, from before the first of its
//!   context entries names the tables until after the last one is gone from its caches.
//! - Whoever changes the tables flushes every unit in the list that has devices here; a unit that
//!   joins later has cached nothing of what was there before.
//! - `primary_id` is the home unit's domain-id plus one from before its first context entry to after its
//!   last one, else 0; `other_units` counts the other units with devices here.
//! - In a domain that is [prepared](Attachments::reserve_primary), a group's first, the home unit is in the
//!   list from the beginning: a first attach must not fail. In others a unit is there from its first
//!   device on, so that a domain which no device is attached to costs nobody a domain-id.
//! - What was [kept](Attachments::retain_units) stays in the list, with its domain-id, when its last device
//!   has left: the return to the kernel's domain needs neither memory nor a free id. From any other
//!   domain a device that is blocked, maybe only for a while, takes a share in the id along and
//!   brings it back (see [`crate::device::attach`]). What the list needs is charged to nobody, so
//!   that no limit of a user's stands in the way.
//!
//! So a device has a share in one domain-id at most beside that of its group's default domain: users
//! hold no more ids than they have devices.
//!
//! # Locks
//!
//! None on the way of an unmap in a domain that one unit walks, which is almost all of them: the
//! tables are written, then `primary_id` is read, with a full barrier between; a unit that joins sets
//! it before its context entry. So either the flush sees the unit, or the unit sees what was written.
//! A flush that meets a unit which has just left drops too much, of nobody or of the next owner of
//! the domain-id, and that is all.
//!
//! `list` orders joining and leaving, and is held while other units are flushed.

use crate::unit::{AllocatedDomainId, DomainIdOwner, Unit};
use core::sync::atomic::{fence, AtomicBool, AtomicU32, Ordering};
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel_ext::lock::IrqSpinLock;
use vtd_core::invalidation::{after_map, Invalidation, InvalidationRange};
use vtd_core::spec::address::{DomainId, Iova};
use vtd_core::spec::scope::IotlbScope;

struct Attachment {
    /// The unit, and what it calls the domain.
    id: Arc<AllocatedDomainId>,
    devices: u32,
}

impl Attachment {
    /// Whether devices walk the tables there.
    fn in_use(entry: &&Self) -> bool {
        entry.devices > 0
    }
}

/// The range of `len` bytes from `iova` on; [`None`] for an empty one.
pub(super) fn range_of(iova: u64, len: u64, tables_freed: bool) -> Option<InvalidationRange> {
    let last = iova.checked_add(len.checked_sub(1)?)?;
    InvalidationRange::new(Iova::new(iova), Iova::new(last), tables_freed)
}

/// The list.
#[pin_data]
pub(super) struct Attachments {
    /// The unit for which the domain was made.
    primary_unit: Arc<Unit>,
    primary_id: AtomicU32,
    other_units: AtomicU32,
    /// Whether a unit of the list must be told of new mappings; stays set once it was.
    needs_map_invalidation: AtomicBool,
    /// Whether units stay in the list without devices.
    units_retained: AtomicBool,
    #[pin]
    list: IrqSpinLock<KVec<Attachment>>,
}

impl Attachments {
    /// No units.
    pub(super) fn new(primary_unit: Arc<Unit>) -> impl PinInit<Self> {
        pin_init!(Self {
            primary_unit,
            primary_id: AtomicU32::new(0),
            other_units: AtomicU32::new(0),
            needs_map_invalidation: AtomicBool::new(false),
            units_retained: AtomicBool::new(false),
            list <- kernel_ext::new_irq_spinlock!(KVec::new(), c"vtd domain attachments"),
        })
    }

    /// Units stay in the list from now on, so that a device that was here can always come back.
    pub(super) fn retain_units(&self) {
        self.units_retained.store(true, Ordering::Relaxed)
    }

    /// Puts the home unit into the list, with a domain-id and no device, so that the first one that
    /// joins it needs neither memory nor a free id. [`ENOMEM`], [`ENOSPC`]. May sleep.
    pub(super) fn reserve_primary(&self) -> Result {
        let id = AllocatedDomainId::allocate(&self.primary_unit, DomainIdOwner::Kernel)?;
        self.insert(id, 0)
    }

    /// Adds a device behind `unit`; returns the domain-id to use. `retained_id`: the one that it had
    /// here before, if it took it along. [`ENOMEM`], [`ENOSPC`] if there is no id for `id_owner`. May
    /// sleep.
    pub(super) fn attach_unit(
        &self,
        unit: &Arc<Unit>,
        id_owner: DomainIdOwner,
        retained_id: Option<Arc<AllocatedDomainId>>,
    ) -> Result<DomainId> {
        if let Some(id) = self.get(unit) {
            return Ok(id);
        }
        let taken = match retained_id {
            Some(taken) => taken,
            None => AllocatedDomainId::allocate(unit, id_owner)?,
        };
        let id = taken.id();
        self.insert(taken, 1)?;
        Ok(id)
    }

    /// Puts a unit into the list that is not in it.
    fn insert(&self, id: Arc<AllocatedDomainId>, devices: u32) -> Result {
        let cap = id.unit().cap();
        if cap.caching_mode() || cap.needs_write_buffer_flush() {
            self.needs_map_invalidation.store(true, Ordering::Release);
        }
        self.push(Attachment { id, devices })
    }

    fn get(&self, unit: &Arc<Unit>) -> Option<DomainId> {
        self.list.with(|list| {
            let entry = list
                .iter_mut()
                .find(|entry| Arc::ptr_eq(entry.id.unit(), unit))?;
            if entry.devices == 0 {
                self.mark_in_use(unit, entry.id.id());
            }
            entry.devices += 1;
            Some(entry.id.id())
        })
    }

    /// `unit` is about to walk the tables; with the list locked.
    fn mark_in_use(&self, unit: &Arc<Unit>, id: DomainId) {
        if Arc::ptr_eq(unit, &self.primary_unit) {
            self.primary_id
                .store(u32::from(id.raw()) + 1, Ordering::SeqCst);
        } else {
            self.other_units.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Adds an entry; memory for it is found, and that of before given back, without the lock.
    fn push(&self, entry: Attachment) -> Result {
        let (unit, id, devices) = (entry.id.unit().clone(), entry.id.id(), entry.devices);
        let mut entry = Some(entry);
        let mut room = KVec::new();
        loop {
            let missing = self.list.with(|list| {
                if list.capacity() == list.len() {
                    if room.capacity() <= list.len() {
                        return Some(list.len() + 1);
                    }
                    core::mem::swap(list, &mut room);
                    for old in room.drain_all() {
                        let _ = list.push_within_capacity(old);
                    }
                }
                if let Some(entry) = entry.take() {
                    let _ = list.push_within_capacity(entry);
                }
                if devices > 0 {
                    self.mark_in_use(&unit, id);
                }
                None
            });
            let Some(missing) = missing else {
                return Ok(());
            };
            room = KVec::with_capacity(missing, GFP_KERNEL)?;
        }
    }

    /// Takes a device behind `unit` away; nothing of it is cached any more. Returns its share in the
    /// domain-id, for the caller to drop or to bring back. Any context.
    pub(super) fn detach_unit(&self, unit: &Arc<Unit>) -> Option<Arc<AllocatedDomainId>> {
        self.list.with(|list| {
            let is_of = |entry: &Attachment| Arc::ptr_eq(entry.id.unit(), unit);
            let at = list.iter().position(is_of)?;
            let entry = list.get_mut(at)?;
            entry.devices -= 1;
            let share = Some(entry.id.clone());
            if entry.devices > 0 {
                return share;
            }
            if Arc::ptr_eq(unit, &self.primary_unit) {
                self.primary_id.store(0, Ordering::SeqCst);
            } else {
                self.other_units.fetch_sub(1, Ordering::SeqCst);
            }
            if !self.units_retained.load(Ordering::Relaxed) {
                // Not the last share: giving the id back may sleep.
                let _ = list.remove(at);
            }
            share
        })
    }

    /// Whether `condition` holds for every unit.
    pub(super) fn all_units(&self, condition: impl Fn(&Unit) -> bool) -> bool {
        self.list.with(|list| {
            let mut in_use = list.iter().filter(Attachment::in_use);
            in_use.all(|entry| condition(entry.id.unit()))
        })
    }

    /// The units with their domain-ids and how many devices, as they are now. [`ENOMEM`]. May sleep.
    pub(super) fn snapshot(&self) -> Result<KVec<(Arc<Unit>, DomainId, u32)>> {
        loop {
            let len = self.list.with(|list| list.len());
            let mut copy = KVec::with_capacity(len, GFP_KERNEL)?;
            let copied = self.list.with(|list| {
                if list.len() > len {
                    return false;
                }
                for entry in list.iter() {
                    let of_unit = (entry.id.unit().clone(), entry.id.id(), entry.devices);
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
    pub(super) fn invalidate_range(&self, range: InvalidationRange) {
        fence(Ordering::SeqCst);
        if let Some(id) = self.primary_id.load(Ordering::Relaxed).checked_sub(1) {
            self.primary_unit
                .invalidate_range(DomainId::new(id as u16), range);
        }
        if self.other_units.load(Ordering::Relaxed) != 0 {
            self.invalidate_other_units(range);
        }
    }

    #[cold]
    fn invalidate_other_units(&self, range: InvalidationRange) {
        self.list.with(|list| {
            for entry in list.iter().filter(Attachment::in_use) {
                if !Arc::ptr_eq(entry.id.unit(), &self.primary_unit) {
                    entry.id.unit().invalidate_range(entry.id.id(), range);
                }
            }
        })
    }

    /// Makes all units forget the domain. As [`Self::invalidate_range`].
    pub(super) fn invalidate_all(&self) {
        self.list.with(|list| {
            for entry in list.iter().filter(Attachment::in_use) {
                let scope = IotlbScope::Domain(entry.id.id());
                let _ = entry.id.unit().invalidate(&[Invalidation::Iotlb(scope)]);
            }
        })
    }

    /// Does what the units need to see new mappings in `range`. [`EIO`] if one has failed. Any
    /// context.
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
        self.list.with(|list| {
            for entry in list.iter().filter(Attachment::in_use) {
                let unit = entry.id.unit();
                let steps = after_map(unit.cap(), entry.id.id(), range);
                if !steps.is_empty() {
                    unit.perform(steps.iter())?;
                }
            }
            Ok(())
        })
    }
}
