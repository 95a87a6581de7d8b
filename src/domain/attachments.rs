// SPDX-License-Identifier: GPL-2.0

//! The list of units that walk the tables of one domain ([`vtd_core::concurrent::attachments`]).
//!
//! # Invariants
//!
//! - In a group's first default domain, the primary unit is in the list from the beginning
//!   ([`Attachments::reserve_primary`]): a first attach must not fail. In other domains a unit is
//!   added with its first device, so a domain without devices uses no domain-id.
//! - After [`Attachments::retain_units`], a unit stays in the list with its domain-id when its last
//!   device is detached: the return to the kernel's domain then needs neither memory nor a free id.
//!   In any other domain, a device that is blocked, maybe only for a while, keeps a reference to
//!   the domain-id and uses it when it is attached again (see [`vtd_core::concurrent::attach`]). The
//!   memory of the list is not charged to a user, so a user's limit cannot make an attach fail.
//!
//! So a device holds at most one domain-id in addition to that of its group's default domain: users
//! hold no more ids than they have devices.
//!
//! # Locks
//!
//! `list` orders attaches and detaches. A flush takes no lock: it reads `flush_list`.

use super::flush_list::{AllUnits, FlushList};
use crate::unit::{AllocatedDomainId, DeviceTlb, DomainIdOwner, Unit};
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel_ext::lock::IrqSpinLock;
use vtd_core::concurrent::attachments::{self, AttachedUnits, AttachmentVec};
use vtd_core::invalidation::CacheTag;
use vtd_core::spec::address::DomainId;
use vtd_core::spec::level::Stage;

type Attachment = attachments::Attachment<Arc<AllocatedDomainId>>;

/// The list.
pub(super) struct List(KVec<Attachment>);

impl Deref for List {
    type Target = [Attachment];

    fn deref(&self) -> &[Attachment] {
        &self.0
    }
}

impl DerefMut for List {
    fn deref_mut(&mut self) -> &mut [Attachment] {
        &mut self.0
    }
}

impl AttachmentVec for List {
    type Id = Arc<AllocatedDomainId>;
    type Error = Error;

    fn with_capacity(capacity: usize) -> Result<Self> {
        Ok(List(KVec::with_capacity(capacity, GFP_KERNEL)?))
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }

    fn push(&mut self, entry: Attachment) {
        let _ = self.0.push_within_capacity(entry);
    }

    fn remove(&mut self, at: usize) {
        let _ = self.0.remove(at);
    }

    fn move_to(&mut self, other: &mut Self) {
        for entry in self.0.drain_all() {
            other.push(entry);
        }
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
    list: IrqSpinLock<List>,
}

impl Attachments {
    /// Creates an empty list of units that walk tables of `stage`.
    pub(super) fn new(flush_list: FlushList, stage: Stage) -> impl PinInit<Self> {
        pin_init!(Self {
            flush_list,
            units_retained: AtomicBool::new(false),
            stage,
            list <- kernel_ext::new_irq_spinlock!(List(KVec::new()), c"vtd domain attachments"),
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
        let allocate = || AllocatedDomainId::allocate(unit, id_owner);
        self.join(unit, retained_id, allocate)?.ok_or(ENODEV)
    }

    /// Makes flushes reach the TLB of a device behind `unit`, where the domain has this domain-id.
    /// Returns false if the device cannot use its TLB here.
    ///
    /// # Context
    ///
    /// Any context.
    pub(super) fn join_device_tlb(&self, unit: &Unit, tlb: &DeviceTlb, id: DomainId) -> bool {
        let joined = unit.join_device_tlb(tlb, self.tag(id));
        if joined {
            self.flush_list.count_device_tlb(true);
        }
        joined
    }

    /// Makes flushes no longer reach the TLB of a device, if they did.
    ///
    /// # Context
    ///
    /// Any context.
    pub(super) fn leave_device_tlb(&self, tlb: &DeviceTlb, id: DomainId) {
        if tlb.leave(self.tag(id)) {
            self.flush_list.count_device_tlb(false);
        }
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
                    let (unit, id) = (entry.id().unit().clone(), entry.id().id());
                    let _ = copy.push_within_capacity((unit, id, entry.devices()));
                }
                true
            });
            if copied {
                return Ok(copy);
            }
        }
    }
}

impl AttachedUnits for Attachments {
    type List = List;
    type Units = AllUnits;

    fn flush_list(&self) -> &FlushList {
        &self.flush_list
    }

    fn locked<R>(&self, work: impl FnOnce(&mut List) -> R) -> R {
        self.list.with(work)
    }

    fn units_are_retained(&self) -> bool {
        self.units_retained.load(Ordering::Relaxed)
    }

    fn unit(id: &Arc<AllocatedDomainId>) -> &Unit {
        id.unit()
    }

    fn number(id: &Arc<AllocatedDomainId>) -> DomainId {
        id.id()
    }

    fn tag(&self, id: DomainId) -> CacheTag {
        CacheTag::of_requester_ids(self.stage, id)
    }
}
