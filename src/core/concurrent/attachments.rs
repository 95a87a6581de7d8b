// SPDX-License-Identifier: GPL-2.0

//! The list of units that walk the tables of one domain.
//!
//! # Invariants
//!
//! - A unit is in the list, with the domain-id that it uses for this domain, from before the first
//!   of its context entries points to the tables until after the last one is gone from its caches.
//! - A change of the tables is followed by an invalidation on every unit in the list that has
//!   devices here. A unit that is added later has cached nothing from before.
//! - A unit with devices here is in the flush list, too, for as long as it has any.
//! - Where units are retained, a unit stays in the list with its domain-id when its last device is
//!   detached.
//!
//! # Locks
//!
//! The lock of the list orders attaches and detaches. A flush takes no lock: it reads the flush list.

use crate::invalidation::CacheTag;
use crate::lockless::flush_list::{DomainUnits, FlushList, FlushedUnit, PublishedTag};
use crate::spec::address::DomainId;
use core::ops::DerefMut;

/// A unit that walks the tables.
pub struct Attachment<I> {
    /// A reference to the domain-id, which is in use as long as there is one.
    id: I,
    /// The tag of what the unit caches of the domain.
    tag: CacheTag,
    devices: u32,
}

impl<I> Attachment<I> {
    /// Returns the reference to the domain-id, which names the unit.
    pub fn id(&self) -> &I {
        &self.id
    }

    /// Returns the number of devices.
    pub fn devices(&self) -> u32 {
        self.devices
    }
}

/// A vector of attachments, which allocates memory only in [`Self::with_capacity`].
pub trait AttachmentVec: DerefMut<Target = [Attachment<Self::Id>]> + Sized {
    /// The references to domain-ids.
    type Id: Clone;
    /// The reason why no memory was allocated.
    type Error;

    /// Creates an empty vector with room for `capacity` elements.
    ///
    /// # Errors
    ///
    /// There is no memory for it.
    fn with_capacity(capacity: usize) -> Result<Self, Self::Error>;

    /// Returns how many elements it has room for.
    fn capacity(&self) -> usize;

    /// Adds an element, for which there is room.
    fn push(&mut self, entry: Attachment<Self::Id>);

    /// Removes the element at an index.
    fn remove(&mut self, at: usize);

    /// Moves all elements to `other`, which has room for them.
    fn move_to(&mut self, other: &mut Self);
}

type IdOf<A> = <<A as AttachedUnits>::List as AttachmentVec>::Id;
type UnitOf<A> = <<A as AttachedUnits>::Units as DomainUnits>::Unit;
type ErrorOf<A> = <<A as AttachedUnits>::List as AttachmentVec>::Error;

/// The units that walk the tables of one domain: the required items are the list and its lock, and
/// the flush list.
pub trait AttachedUnits: Sized {
    /// The list.
    type List: AttachmentVec;
    /// The units of the machine.
    type Units: DomainUnits;

    /// Returns the units in the list that have devices.
    fn flush_list(&self) -> &FlushList<Self::Units>;

    /// Calls `work` with the list locked.
    fn locked<R>(&self, work: impl FnOnce(&mut Self::List) -> R) -> R;

    /// Returns whether units stay in the list without devices.
    fn units_are_retained(&self) -> bool;

    /// Returns the unit of a domain-id.
    fn unit(id: &IdOf<Self>) -> &UnitOf<Self>;

    /// Returns the number of a domain-id.
    fn number(id: &IdOf<Self>) -> DomainId;

    /// Returns the tag of what a unit caches of the domain with this domain-id.
    fn tag(&self, id: DomainId) -> CacheTag;

    /// Returns where the tag of `unit` is published; [`None`] if it is none of the machine's.
    fn published_tag(&self, unit: &UnitOf<Self>) -> Option<&PublishedTag> {
        let list = self.flush_list();
        if core::ptr::eq(unit, list.units().primary()) {
            return Some(list.primary_tag());
        }
        let mut others = list.units().others();
        let place = others.find(|(one, _)| core::ptr::eq(*one, unit))?;
        Some(place.1)
    }

    /// Counts one more device behind `unit`, and returns the domain-id to use: that of the list, or
    /// `retained_id`, which the device kept from an earlier attachment to this domain, or what
    /// `allocate` returns. [`None`] if the unit is none of the machine's.
    ///
    /// # Errors
    ///
    /// That of `allocate`, or there is no memory.
    ///
    /// # Context
    ///
    /// May sleep.
    fn join(
        &self,
        unit: &UnitOf<Self>,
        retained_id: Option<IdOf<Self>>,
        allocate: impl FnOnce() -> Result<IdOf<Self>, ErrorOf<Self>>,
    ) -> Result<Option<DomainId>, ErrorOf<Self>> {
        let Some(published) = self.published_tag(unit) else {
            return Ok(None);
        };
        if let Some(id) = count_device(self, unit, published) {
            return Ok(Some(id));
        }
        let id = retained_id.map_or_else(allocate, Ok)?;
        let number = Self::number(&id);
        self.insert(id, Some(published))?;
        Ok(Some(number))
    }

    /// Adds a unit that is not in the list, with one device and the place of its tag, or without.
    ///
    /// # Errors
    ///
    /// There is no memory.
    ///
    /// # Context
    ///
    /// May sleep.
    fn insert(
        &self,
        id: IdOf<Self>,
        published: Option<&PublishedTag>,
    ) -> Result<(), ErrorOf<Self>> {
        self.flush_list()
            .note_map_invalidation(Self::unit(&id).cap());
        let tag = self.tag(Self::number(&id));
        let devices = u32::from(published.is_some());
        let mut entry = Some(Attachment { id, tag, devices });
        // Memory is allocated and freed without the lock.
        let mut room = Self::List::with_capacity(0)?;
        loop {
            let missing = self.locked(|list| {
                if list.capacity() == list.len() {
                    if room.capacity() <= list.len() {
                        return Some(list.len() + 1);
                    }
                    core::mem::swap(list, &mut room);
                    room.move_to(list);
                }
                if let Some(entry) = entry.take() {
                    list.push(entry);
                }
                if let Some(published) = published {
                    self.flush_list().publish(published, tag);
                }
                None
            });
            let Some(missing) = missing else {
                return Ok(());
            };
            room = Self::List::with_capacity(missing)?;
        }
    }

    /// Counts one device fewer behind `unit`, after its translations were invalidated. Returns a
    /// reference to the domain-id, which the caller drops or keeps for a later attach.
    ///
    /// # Context
    ///
    /// Any context.
    fn leave(&self, unit: &UnitOf<Self>) -> Option<IdOf<Self>> {
        self.locked(|list| {
            let at = list.iter().position(|entry| is_of::<Self>(entry, unit))?;
            let entry = list.get_mut(at)?;
            entry.devices -= 1;
            let share = Some(entry.id.clone());
            if entry.devices > 0 {
                return share;
            }
            if let Some(published) = self.published_tag(unit) {
                self.flush_list().withdraw(published);
            }
            if !self.units_are_retained() {
                // Not the last reference: freeing the domain-id may sleep.
                list.remove(at);
            }
            share
        })
    }

    /// Returns whether `condition` holds for every unit with devices in the domain.
    fn all_units(&self, condition: impl Fn(&UnitOf<Self>) -> bool) -> bool {
        self.locked(|list| {
            let mut in_use = list.iter().filter(|entry| entry.devices > 0);
            in_use.all(|entry| condition(Self::unit(&entry.id)))
        })
    }
}

/// Counts one more device behind a unit that is in the list, and returns the domain-id.
fn count_device<A: AttachedUnits>(
    attachments: &A,
    unit: &UnitOf<A>,
    published: &PublishedTag,
) -> Option<DomainId> {
    attachments.locked(|list| {
        let entry = list.iter_mut().find(|entry| is_of::<A>(entry, unit))?;
        if entry.devices == 0 {
            attachments.flush_list().publish(published, entry.tag);
        }
        entry.devices += 1;
        Some(A::number(&entry.id))
    })
}

fn is_of<A: AttachedUnits>(entry: &Attachment<IdOf<A>>, unit: &UnitOf<A>) -> bool {
    core::ptr::eq(A::unit(&entry.id), unit)
}
