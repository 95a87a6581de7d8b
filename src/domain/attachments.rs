// SPDX-License-Identifier: GPL-2.0

//! The list of units that walk the tables of one domain.
//!
//! # Invariants
//!
//! - A unit is in the list, with the domain-id that it uses for this domain, from before the first
//!   of its context entries points to the tables until after the last one is gone from its caches.
//! - A change of the tables is followed by an invalidation on every unit in the list that has
//!   devices here. A unit that is added later has cached nothing from before.
//! - `primary_id` is the primary unit's domain-id plus one, from before that unit's first context
//!   entry points to the tables until after its last one has been replaced; otherwise it is 0.
//!   `other_units` counts the other units with devices here.
//! - In a group's first default domain, the primary unit is in the list from the beginning
//!   ([`Attachments::reserve_primary`]): a first attach must not fail. In other domains a unit is
//!   added with its first device, so a domain without devices uses no domain-id.
//! - After [`Attachments::retain_units`], a unit stays in the list with its domain-id when its last
//!   device is detached: the return to the kernel's domain then needs neither memory nor a free id.
//!   In any other domain, a device that is blocked, maybe only for a while, keeps a reference to
//!   the domain-id and uses it when it is attached again (see [`crate::device::attach`]). The
//!   memory of the list is not charged to a user, so a user's limit cannot make an attach fail.
//!
//! So a device holds at most one domain-id in addition to that of its group's default domain: users
//! hold no more ids than they have devices.
//!
//! # Locks
//!
//! An unmap in a domain that one unit walks takes no lock, and almost all domains are of this kind.
//! The unmap writes the tables, then reads `primary_id`, with a full barrier between. An attach
//! sets `primary_id` before the context entry. So either the flush sees the unit, or the unit sees
//! what was written. A flush may race with a detach and use a domain-id that was just freed. It
//! then invalidates translations of the next domain with that id, which only costs IOTLB misses.
//!
//! `list` orders attaches and detaches, and is held while other units are flushed.

use crate::unit::{AllocatedDomainId, DomainIdOwner, Unit};
use core::sync::atomic::{fence, AtomicBool, AtomicU32, Ordering};
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel_ext::lock::IrqSpinLock;
use vtd_core::invalidation::{after_map, Invalidation, InvalidationRange};
use vtd_core::spec::address::{DomainId, Iova};
use vtd_core::spec::scope::IotlbScope;

/// A unit that walks the tables.
struct Attachment {
    /// The unit, and the domain's id there.
    id: Arc<AllocatedDomainId>,
    devices: u32,
}

impl Attachment {
    /// Returns whether the unit has devices in the domain.
    fn in_use(entry: &&Self) -> bool {
        entry.devices > 0
    }
}

/// Returns the range of `len` bytes from `iova` on; [`None`] if it is empty.
pub(super) fn range_of(iova: u64, len: u64, tables_freed: bool) -> Option<InvalidationRange> {
    let last = iova.checked_add(len.checked_sub(1)?)?;
    InvalidationRange::new(Iova::new(iova), Iova::new(last), tables_freed)
}

/// The units that walk the tables of one domain.
#[pin_data]
pub(super) struct Attachments {
    /// The unit of the device for which the domain was allocated.
    primary_unit: Arc<Unit>,
    primary_id: AtomicU32,
    other_units: AtomicU32,
    /// Whether a unit in the list needs an invalidation after a map. Never cleared.
    needs_map_invalidation: AtomicBool,
    /// Whether units stay in the list without devices.
    units_retained: AtomicBool,
    #[pin]
    list: IrqSpinLock<KVec<Attachment>>,
}

impl Attachments {
    /// Creates an empty list.
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

    /// Makes units stay in the list from now on, so that a device that was attached can always be
    /// attached again.
    pub(super) fn retain_units(&self) {
        self.units_retained.store(true, Ordering::Relaxed)
    }

    /// Adds the primary unit to the list, with a domain-id and no device, so that the first attach
    /// needs neither memory nor a free id.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails; [`ENOSPC`] if the unit has no free domain-id.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(super) fn reserve_primary(&self) -> Result {
        let id = AllocatedDomainId::allocate(&self.primary_unit, DomainIdOwner::Kernel)?;
        self.insert(id, 0)
    }

    /// Counts one more device behind `unit`, and returns the domain-id to use. `retained_id` is the
    /// domain-id that the device kept from an earlier attachment to this domain, if any.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails; [`ENOSPC`] if there is no domain-id for `id_owner`.
    ///
    /// # Context
    ///
    /// May sleep.
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

    /// Adds a unit that is not in the list.
    fn insert(&self, id: Arc<AllocatedDomainId>, devices: u32) -> Result {
        let cap = id.unit().cap();
        if cap.caching_mode() || cap.needs_write_buffer_flush() {
            self.needs_map_invalidation.store(true, Ordering::Release);
        }
        self.push(Attachment { id, devices })
    }

    /// Counts one more device behind a unit that is in the list, and returns the domain-id.
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

    /// Makes flushes reach `unit`, which is about to walk the tables. The list is locked.
    fn mark_in_use(&self, unit: &Arc<Unit>, id: DomainId) {
        if Arc::ptr_eq(unit, &self.primary_unit) {
            self.primary_id
                .store(u32::from(id.raw()) + 1, Ordering::SeqCst);
        } else {
            self.other_units.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Adds an entry. Memory is allocated and freed without the lock.
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

    /// Counts one device fewer behind `unit`, after its translations were invalidated. Returns a
    /// reference to the domain-id, which the caller drops or keeps for a later attach.
    ///
    /// # Context
    ///
    /// Any context.
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
                // Not the last reference: freeing the domain-id may sleep.
                let _ = list.remove(at);
            }
            share
        })
    }

    /// Returns whether `condition` holds for every unit with devices in the domain.
    pub(super) fn all_units(&self, condition: impl Fn(&Unit) -> bool) -> bool {
        self.list.with(|list| {
            let mut in_use = list.iter().filter(Attachment::in_use);
            in_use.all(|entry| condition(entry.id.unit()))
        })
    }

    /// Returns the units with their domain-ids and numbers of devices.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    ///
    /// # Context
    ///
    /// May sleep.
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

    /// Invalidates all translations of the domain on every unit, and returns as
    /// [`Self::invalidate_range`] does.
    pub(super) fn invalidate_all(&self) {
        self.list.with(|list| {
            for entry in list.iter().filter(Attachment::in_use) {
                let scope = IotlbScope::Domain(entry.id.id());
                let _ = entry.id.unit().invalidate(&[Invalidation::Iotlb(scope)]);
            }
        })
    }

    /// Makes a new mapping visible to the units. Most of them need nothing for that. Units in
    /// caching mode need an invalidation (VT-d 6.1), and units with CAP.RWBF a write-buffer flush.
    ///
    /// # Errors
    ///
    /// [`EIO`] if a unit has failed.
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
