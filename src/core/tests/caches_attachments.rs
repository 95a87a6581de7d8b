// SPDX-License-Identifier: GPL-2.0

//! The units of a domain of the model, listed by `vtd_core::concurrent::attachments` itself.

use crate::caches_domain::Domain;
use crate::caches_driver::Driver;
use crate::caches_units::{AllUnits, ModelUnit};
use core::convert::Infallible;
use core::ops::{Deref, DerefMut};
use std::rc::Rc;
use vtd_core::concurrent::attachments::{AttachedUnits, Attachment, AttachmentVec};
use vtd_core::invalidation::CacheTag;
use vtd_core::lockless::flush_list::FlushList;
use vtd_core::spec::address::DomainId;

/// A domain-id of a unit.
pub(crate) struct IdOnUnit {
    unit: Rc<ModelUnit>,
    id: u16,
}

/// The units of one domain, each with its domain-id.
#[derive(Default)]
pub(crate) struct List(Vec<Attachment<Rc<IdOnUnit>>>);

impl Deref for List {
    type Target = [Attachment<Rc<IdOnUnit>>];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for List {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl AttachmentVec for List {
    type Id = Rc<IdOnUnit>;
    type Error = Infallible;

    fn with_capacity(capacity: usize) -> Result<Self, Infallible> {
        Ok(List(Vec::with_capacity(capacity)))
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }

    fn push(&mut self, entry: Attachment<Rc<IdOnUnit>>) {
        assert!(self.0.len() < self.0.capacity(), "no room");
        self.0.push(entry);
    }

    fn remove(&mut self, at: usize) {
        self.0.remove(at);
    }

    fn move_to(&mut self, other: &mut Self) {
        self.0.drain(..).for_each(|entry| other.push(entry));
    }
}

impl AttachedUnits for Domain {
    type List = List;
    type Units = AllUnits;

    fn flush_list(&self) -> &FlushList<AllUnits> {
        &self.flush_list
    }

    fn locked<R>(&self, work: impl FnOnce(&mut List) -> R) -> R {
        work(&mut self.attachments.borrow_mut())
    }

    fn units_are_retained(&self) -> bool {
        false
    }

    fn unit(id: &Rc<IdOnUnit>) -> &ModelUnit {
        &id.unit
    }

    fn number(id: &Rc<IdOnUnit>) -> DomainId {
        DomainId::new(id.id)
    }

    fn tag(&self, id: DomainId) -> CacheTag {
        CacheTag::SecondStage(id)
    }
}

impl Domain {
    /// Returns the domain-id on a unit, if that has devices.
    pub(crate) fn id_on(&self, unit: usize) -> Option<u16> {
        let mut attached = self.attached().into_iter();
        attached.find(|one| one.0 == unit).map(|one| one.1)
    }

    /// Returns the units that have devices, each with its domain-id.
    pub(crate) fn attached(&self) -> Vec<(usize, u16)> {
        let list = self.attachments.borrow();
        let ids = list.iter().map(Attachment::id);
        ids.map(|id| (id.unit.number(), id.id)).collect()
    }
}

impl Driver {
    /// Adds a device behind a unit, and returns the domain-id, which `DomainIds` would allocate.
    pub(crate) fn join(&mut self, domain: usize, unit: usize) -> u16 {
        let Driver { domains, ids, .. } = self;
        let it = &domains[domain];
        let model = it.flush_list.units().unit(unit);
        let allocate = || {
            let used = &mut ids[unit];
            let id = (2..).find(|id| !used.contains(id)).expect("an id");
            used.insert(id);
            let unit = model.clone();
            Ok(Rc::new(IdOnUnit { unit, id }))
        };
        let Ok(id) = AttachedUnits::join(it, model, None, allocate);
        id.expect("a unit of the machine").raw()
    }

    /// Removes a device behind a unit, and frees the domain-id if it was the last one.
    pub(crate) fn leave(&mut self, domain: usize, unit: usize) {
        let it = &self.domains[domain];
        let share = AttachedUnits::leave(it, it.flush_list.units().unit(unit)).expect("joined");
        if Rc::strong_count(&share) > 1 {
            return;
        }
        let id = share.id;
        self.ids[unit].remove(&id);
        let cached = self.hw.units[unit].borrow();
        let holds = cached.leaves.iter().any(|leaf| leaf.0 == id)
            || cached.links.iter().any(|link| link.0 == id)
            || cached.entries.has_tag(id);
        if holds {
            self.hw.report_problem(format!(
                "unit {unit} holds things of {id} as its id is freed"
            ));
        }
    }
}
