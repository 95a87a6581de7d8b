// SPDX-License-Identifier: GPL-2.0

//! What a device is attached to.

use super::address_history::AddressHistory;
use crate::unit::{AllocatedDomainId, Translation, Unit};
use core::fmt;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel_ext::iommu::{DomainKind, Group};
use vtd_core::ownership::OwnerState;
use vtd_core::pgtable::{TraceStep, VisitedLeaf, WalkTrace};
use vtd_core::spec::address::{Iova, PhysAddr};

/// A domain with page tables, as a device that is attached to it uses it.
pub(crate) trait AttachedDomain: Send + Sync {
    /// Removes a device behind `unit`, whose caches no longer hold entries of this domain for the
    /// device. Returns its reference to the domain-id that it had.
    ///
    /// # Context
    ///
    /// Any context.
    fn detach_unit(&self, unit: &Arc<Unit>) -> Option<Arc<AllocatedDomainId>>;

    /// Returns the address of its top-level table.
    fn top_table(&self) -> PhysAddr;

    /// Fills the capacity of `found` with leaf entries that map `from` or higher addresses, in
    /// order. It may find fewer if there are few in many tables. Returns the address to continue
    /// at, or [`None`] if nothing is left.
    ///
    /// # Context
    ///
    /// Any context.
    fn collect_leaves(&self, from: Iova, found: &mut KVec<VisitedLeaf>) -> Option<Iova>;

    /// Traces the page-table walk of `address`: each entry that a unit reads, from the top-level
    /// table down, and the result of a request.
    ///
    /// # Context
    ///
    /// Any context.
    fn trace_walk(&self, address: Iova, steps: &mut TraceSteps) -> WalkTrace;

    /// Returns what last happened at `address`. May take long.
    fn history_of(&self, address: u64) -> AddressHistory;

    /// Returns whether its IOTLB flushes are deferred.
    fn is_lazy(&self) -> bool;

    /// Returns a number that no other domain has or had.
    fn number(&self) -> u64;
}

/// The entries of one page-table walk, at most one for each level.
pub(crate) type TraceSteps = [Option<TraceStep<PhysAddr>>; 5];

/// The target of an attach. Its methods are called in this order, each once.
pub(crate) trait AttachTarget {
    /// Checks whether `unit` can use the target.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if it cannot.
    fn check(&self, _unit: &Unit) -> Result {
        Ok(())
    }

    /// Adds a device behind `unit` and returns what to install. `retained_id`: the domain-id that
    /// the device had here before, if it retained it.
    ///
    /// # Errors
    ///
    /// [`ENOSPC`]: the unit has no domain-id left.
    fn attach_unit(
        &self,
        unit: &Arc<Unit>,
        retained_id: Option<Arc<AllocatedDomainId>>,
    ) -> Result<Translation>;

    /// Returns the domain that the device was added to, if any. It is used to remove the device
    /// again.
    fn domain(&self) -> Option<Arc<dyn AttachedDomain>> {
        None
    }
}

/// Without a domain there is nothing to add the device to.
impl AttachTarget for Translation {
    fn attach_unit(&self, _: &Arc<Unit>, _: Option<Arc<AllocatedDomainId>>) -> Result<Translation> {
        Ok(*self)
    }
}

/// What a device is attached to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum AttachedTo {
    /// Nothing: its requests are blocked.
    Blocked,
    /// All of memory.
    Identity,
    /// A domain of the DMA API.
    Dma,
    /// A domain that a user or another driver allocated.
    Unmanaged,
}

impl From<DomainKind> for AttachedTo {
    fn from(kind: DomainKind) -> Self {
        match kind {
            DomainKind::Blocked => AttachedTo::Blocked,
            DomainKind::Identity => AttachedTo::Identity,
            DomainKind::DmaApi => AttachedTo::Dma,
            DomainKind::Iommufd | DomainKind::Unmanaged => AttachedTo::Unmanaged,
        }
    }
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

/// The state of a device that an attach changes.
pub(crate) struct DeviceState {
    /// What it is attached to.
    pub(crate) attached_to: AttachedTo,
    /// Its domain-id there; 0 where there is none.
    pub(crate) domain_id: u16,
    /// Its ownership state, as the record of its group has it.
    pub(crate) owner_state: OwnerState,
    /// The domain that it is attached to. It is notified when the device is detached.
    pub(super) domain: Option<Arc<dyn AttachedDomain>>,
    /// The domain before this one, to which the core may have to return the device. It is only
    /// compared.
    pub(super) previous_domain: Option<usize>,
    /// Its reference to the domain-id that it had before, while it is blocked. The core blocks a
    /// device for a reset, and the attach afterwards must not fail because all ids are taken.
    pub(super) retained_id: Option<Arc<AllocatedDomainId>>,
    /// Its group, once known.
    pub(crate) group: Option<Group>,
    /// Whether the record of its group lists the device.
    pub(crate) in_group_record: bool,
}

impl DeviceState {
    /// Creates the state of a new device, which is blocked and in no group.
    pub(crate) fn new() -> Self {
        DeviceState {
            attached_to: AttachedTo::Blocked,
            domain_id: 0,
            owner_state: OwnerState::Blocked,
            domain: None,
            previous_domain: None,
            retained_id: None,
            group: None,
            in_group_record: false,
        }
    }

    /// Returns the ID of its group, once known.
    pub(crate) fn group_id(&self) -> Option<u32> {
        self.group.as_ref().map(Group::id)
    }

    /// Returns the domain with page tables that it is attached to, if there is one.
    pub(crate) fn domain(&self) -> Option<&dyn AttachedDomain> {
        self.domain.as_deref()
    }
}
