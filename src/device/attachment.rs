// SPDX-License-Identifier: GPL-2.0

//! What a device is attached to.

use super::address_history::AddressHistory;
use crate::unit::{AllocatedDomainId, DeviceTlb, Translation, Unit};
use core::ops::Deref;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel_ext::iommu::{DomainKind, Group};
use vtd_core::concurrent::attach;
pub(crate) use vtd_core::concurrent::attach::AttachedTo;
use vtd_core::pgtable::{TraceStep, VisitedLeaf, WalkTrace};
use vtd_core::spec::address::{Iova, PhysAddr};
use vtd_core::spec::registers::TranslationTableMode;

/// A domain with page tables, as a device that is attached to it uses it.
pub(crate) trait AttachedDomain: Send + Sync {
    /// Removes a device behind `unit`, whose caches no longer hold entries of this domain for the
    /// device, which has the TLB `tlb`. Returns its reference to the domain-id that it had.
    ///
    /// # Context
    ///
    /// Any context.
    fn detach_unit(
        &self,
        unit: &Arc<Unit>,
        tlb: Option<&DeviceTlb>,
    ) -> Option<Arc<AllocatedDomainId>>;

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

    /// Traces the page-table walk of `address`: each entry that a unit in `mode` reads, from the
    /// top-level table down, and the result of a request.
    ///
    /// # Context
    ///
    /// Any context.
    fn trace_walk(
        &self,
        address: Iova,
        mode: TranslationTableMode,
        steps: &mut TraceSteps,
    ) -> WalkTrace;

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
    /// the device had here before, if it retained it. `tlb`: its TLB, if it may use it.
    ///
    /// # Errors
    ///
    /// [`ENOSPC`]: the unit has no domain-id left.
    fn attach_unit(
        &self,
        unit: &Arc<Unit>,
        retained_id: Option<Arc<AllocatedDomainId>>,
        tlb: Option<&DeviceTlb>,
    ) -> Result<Translation>;

    /// Returns the domain that the device was added to, if any. It is used to remove the device
    /// again.
    fn domain(&self) -> Option<Arc<dyn AttachedDomain>> {
        None
    }
}

/// Without a domain there is nothing to add the device to.
impl AttachTarget for Translation {
    fn attach_unit(
        &self,
        _: &Arc<Unit>,
        _: Option<Arc<AllocatedDomainId>>,
        _: Option<&DeviceTlb>,
    ) -> Result<Translation> {
        Ok(*self)
    }
}

/// Returns what a device becomes attached to with a domain of this kind.
pub(super) fn attached_to(kind: DomainKind) -> AttachedTo {
    match kind {
        DomainKind::Blocked => AttachedTo::Blocked,
        DomainKind::Identity => AttachedTo::Identity,
        DomainKind::DmaApi => AttachedTo::Dma,
        DomainKind::Iommufd | DomainKind::Unmanaged => AttachedTo::Unmanaged,
    }
}

/// The state of a device that an attach changes, as [`vtd_core::concurrent::attach`] has it.
pub(crate) type AttachState = attach::AttachState<Arc<dyn AttachedDomain>, Arc<AllocatedDomainId>>;

/// The state of a device.
pub(crate) struct DeviceState {
    pub(super) attach: AttachState,
    /// Its group, once known.
    pub(super) group: Option<Group>,
}

impl DeviceState {
    /// Creates the state of a new device, which is blocked and in no group.
    pub(crate) fn new() -> Self {
        DeviceState {
            attach: AttachState::blocked(),
            group: None,
        }
    }

    /// Returns the domain with page tables that it is attached to, if there is one.
    pub(crate) fn domain(&self) -> Option<&dyn AttachedDomain> {
        self.attach.domain.as_deref()
    }
}

impl Deref for DeviceState {
    type Target = AttachState;

    fn deref(&self) -> &AttachState {
        &self.attach
    }
}
