// SPDX-License-Identifier: GPL-2.0

//! The list of units that walk the tables of one domain.
//!
//! # Invariants
//!
//! - A unit is in the list, with the domain-id that it uses for this domain, from before the first
//!   of its context entries points to the tables until after the last one is gone from its caches.
//! - A change of the tables is followed by an invalidation on every unit in the list that has
//!   devices here. A unit that is added later has cached nothing from before.
//! - A unit with devices here is in `flush_list`, too, for as long as it has any.
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
//! `list` orders attaches and detaches. A flush takes no lock: it reads `flush_list`.

use super::flush_list::{published_tag, FlushList};
use crate::unit::{AllocatedDomainId, DomainIdOwner, Unit};
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel_ext::lock::IrqSpinLock;
use vtd_core::invalidation::CacheTag;
use vtd_core::lockless::flush_list::PublishedTag;
use vtd_core::spec::address::DomainId;
use vtd_core::spec::level::Stage;

/// A unit that walks the tables.
struct Attachment {
    /// The unit, and the domain's id there.
    id: Arc<AllocatedDomainId>,
    /// The tag of what the unit caches of the domain.
    tag: CacheTag,
    devices: u32,
}

impl Attachment {
    /// Returns whether the unit has devices in the domain.
    fn in_use(entry: &&Self) -> bool {
        entry.devices > 0
    }
}

/// The units that walk the tables of one domain.
#[pin_data]
pub(super) struct Attachments {
    /// The units in the list that have devices.
    pub(super) flush_list: FlushList,
    /// Whether units stay in the list without devices.
    units_retained: AtomicBool,
    /// The stage of the tables.
    stage: Stage,
    #[pin]
    list: IrqSpinLock<KVec<Attachment>>,
}

impl Attachments {
    /// Creates an empty list of units that walk tables of `stage`.
    pub(super) fn new(flush_list: FlushList, stage: Stage) -> impl PinInit<Self> {
        pin_init!(Self {
            flush_list,
            units_retained: AtomicBool::new(false),
            stage,
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
        let id = AllocatedDomainId::allocate(
            self.flush_list.units().primary_unit(),
            DomainIdOwner::Kernel,
        )?;
        self.insert(id, None)
    }

    /// Counts one more device behind `unit`, and returns the domain-id to use. `retained_id` is the
    /// domain-id that the device kept from an earlier attachment to this domain, if any.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails; [`ENOSPC`] if there is no domain-id for `id_owner`;
    /// [`ENODEV`] if the unit is none of the machine's.
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
        let published = published_tag(&self.flush_list, unit).ok_or(ENODEV)?;
        if let Some(id) = self.get(unit, published) {
            return Ok(id);
        }
        let taken = match retained_id {
            Some(taken) => taken,
            None => AllocatedDomainId::allocate(unit, id_owner)?,
        };
        let id = taken.id();
        self.insert(taken, Some(published))?;
        Ok(id)
    }

    /// Adds a unit that is not in the list, with one device and its tag `published`, or without.
    fn insert(&self, id: Arc<AllocatedDomainId>, published: Option<&PublishedTag>) -> Result {
        self.flush_list.note_map_invalidation(id.unit().cap());
        let tag = CacheTag::of_requester_ids(self.stage, id.id());
        let devices = u32::from(published.is_some());
        self.push(Attachment { id, tag, devices }, published)
    }

    /// Counts one more device behind a unit that is in the list, and returns the domain-id.
    fn get(&self, unit: &Arc<Unit>, published: &PublishedTag) -> Option<DomainId> {
        self.list.with(|list| {
            let entry = list
                .iter_mut()
                .find(|entry| Arc::ptr_eq(entry.id.unit(), unit))?;
            if entry.devices == 0 {
                self.flush_list.publish(published, entry.tag);
            }
            entry.devices += 1;
            Some(entry.id.id())
        })
    }

    /// Adds an entry. Memory is allocated and freed without the lock.
    fn push(&self, entry: Attachment, published: Option<&PublishedTag>) -> Result {
        let tag = entry.tag;
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
                if let Some(published) = published {
                    self.flush_list.publish(published, tag);
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
            if let Some(published) = published_tag(&self.flush_list, unit) {
                self.flush_list.withdraw(published);
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
}
