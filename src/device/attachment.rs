// SPDX-License-Identifier: GPL-2.0

//! What a device is attached to.

use super::address_history::AddressHistory;
use crate::unit::{AllocatedDomainId, Translation, Unit};
use core::fmt;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel_ext::iommu::Group;
use vtd_core::ownership::OwnerState;
use vtd_core::pgtable::{TraceStep, VisitedLeaf, WalkTrace};
use vtd_core::spec::address::{Iova, PhysAddr};

/// What a device can be attached to, seen from the device.
pub(crate) trait AttachedDomain: Send + Sync {
    /// A device behind `unit` has left; nothing of it is cached any more. Returns its share in
    /// the domain-id that it had. Any context.
    fn detach_unit(&self, unit: &Arc<Unit>) -> Option<Arc<AllocatedDomainId>>;

    /// Where its top table lies.
    fn top_table(&self) -> PhysAddr;

    /// Fills the capacity of `found` with leaves that map `from` or what lies above, in order, or
    /// less if there are few in many tables. Returns where to go on, unless nothing is left. Any
    /// context.
    fn collect_leaves(&self, from: Iova, found: &mut KVec<VisitedLeaf>) -> Option<Iova>;

    /// The way of `address` through the tables: each entry that a unit reads, from the top on, and
    /// what becomes of a request. Any context.
    fn trace_walk(&self, address: Iova, steps: &mut TraceSteps) -> WalkTrace;

    /// What last happened at `address`. May take its time.
    fn history_of(&self, address: u64) -> AddressHistory;

    /// Whether flushes are deferred in it.
    fn is_lazy(&self) -> bool;

    /// What tells it from all other domains.
    fn number(&self) -> u64;
}

/// The entries on the way of an address, one for each level at most.
pub(crate) type TraceSteps = [Option<TraceStep<PhysAddr>>; 5];

/// Where a device is to be attached. Its methods are called in this order, each once.
pub(crate) trait AttachTarget {
    /// Checks whether `unit` suits. [`EINVAL`] if not.
    fn check(&self, _unit: &Unit) -> Result {
        Ok(())
    }

    /// Adds a device behind `unit`; returns what to install. `retained_id`: the domain-id that the
    /// device had here before, if it took it along. [`ENOSPC`] if there is none.
    fn attach_unit(
        &self,
        unit: &Arc<Unit>,
        retained_id: Option<Arc<AllocatedDomainId>>,
    ) -> Result<Translation>;

    /// The domain that was joined, for the device to leave again.
    fn domain(&self) -> Option<Arc<dyn AttachedDomain>> {
        None
    }
}

/// Without a domain: there is nothing to join.
impl AttachTarget for Translation {
    fn attach_unit(&self, _: &Arc<Unit>, _: Option<Arc<AllocatedDomainId>>) -> Result<Translation> {
        Ok(*self)
    }
}

/// What a device is attached to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum AttachedTo {
    /// Nothing.
    Blocked,
    /// All of memory.
    Identity,
    /// A domain of the DMA API.
    Dma,
    /// A domain of someone else.
    Unmanaged,
}

impl fmt::Display for AttachedTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AttachedTo::Blocked => "blocked",
            AttachedTo::Identity => "identity",
            AttachedTo::Dma => "DMA",
            AttachedTo::Unmanaged => "unmanaged",
        })
    }
}

/// What changes at an attach.
pub(crate) struct DeviceState {
    /// What it is attached to.
    pub(crate) attached_to: AttachedTo,
    /// Its domain-id there; 0 where there is none.
    pub(crate) domain_id: u16,
    /// Its part in who owns the group.
    pub(crate) owner_state: OwnerState,
    /// Whom to tell when it leaves.
    pub(super) domain: Option<Arc<dyn AttachedDomain>>,
    /// The domain that it had before, which the core may have to give it back; only compared.
    pub(super) previous_domain: Option<usize>,
    /// Its share in the domain-id that it had there, while it is blocked. The core does so for a
    /// reset, and then relies on the attach: it must not find all ids taken.
    pub(super) retained_id: Option<Arc<AllocatedDomainId>>,
    /// The group, once known.
    pub(crate) group: Option<Group>,
    /// Whether the group's account has the device.
    pub(crate) in_group_record: bool,
}

impl DeviceState {
    /// The group's number, once known.
    pub(crate) fn group_id(&self) -> Option<u32> {
        self.group.as_ref().map(Group::id)
    }

    /// The domain with tables that it is attached to, if it is one.
    pub(crate) fn domain(&self) -> Option<&dyn AttachedDomain> {
        self.domain.as_deref()
    }
}
