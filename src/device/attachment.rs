// SPDX-License-Identifier: GPL-2.0

//! What a device is attached to.

use super::address_history::Past;
use crate::unit::{TakenId, Translation, Unit};
use core::fmt;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel_ext::iommu::Group;
use vtd_core::ownership::State as Owned;
use vtd_core::pgtable::{Step, Visit, Way};
use vtd_core::spec::address::{Iova, PhysAddr};

/// What a device can be attached to, seen from the device.
pub(crate) trait Attached: Send + Sync {
    /// A device behind `unit` has left; nothing of it is cached any more. Returns its share in
    /// the domain-id that it had. Any context.
    fn leave(&self, unit: &Arc<Unit>) -> Option<Arc<TakenId>>;

    /// Where its top table lies.
    fn top(&self) -> PhysAddr;

    /// Fills the capacity of `found` with leaves that map `from` or what lies above, in order, or
    /// less if there are few in many tables. Returns where to go on, unless nothing is left. Any
    /// context.
    fn leaves(&self, from: Iova, found: &mut KVec<Visit>) -> Option<Iova>;

    /// The way of `address` through the tables: each entry that a unit reads, from the top on, and
    /// what becomes of a request. Any context.
    fn way(&self, address: Iova, steps: &mut Steps) -> Way;

    /// What last happened at `address`. May take its time.
    fn past(&self, address: u64) -> Past;

    /// Whether flushes are deferred in it.
    fn is_lazy(&self) -> bool;

    /// What tells it from all other domains.
    fn number(&self) -> u64;
}

/// The entries on the way of an address, one for each level at most.
pub(crate) type Steps = [Option<Step<PhysAddr>>; 5];

/// Where a device is to be attached. Its methods are called in this order, each once.
pub(crate) trait AttachTarget {
    /// Checks whether `unit` suits. [`EINVAL`] if not.
    fn check(&self, _unit: &Unit) -> Result {
        Ok(())
    }

    /// Adds a device behind `unit`; returns what to install. `brought`: the domain-id that the
    /// device had here before, if it took it along. [`ENOSPC`] if there is none.
    fn join(&self, unit: &Arc<Unit>, brought: Option<Arc<TakenId>>) -> Result<Translation>;

    /// The domain that was joined, for the device to leave again.
    fn attached(&self) -> Option<Arc<dyn Attached>> {
        None
    }
}

/// Without a domain: there is nothing to join.
impl AttachTarget for Translation {
    fn join(&self, _: &Arc<Unit>, _: Option<Arc<TakenId>>) -> Result<Translation> {
        Ok(*self)
    }
}

/// What a device is attached to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Nothing.
    Blocked,
    /// All of memory.
    Identity,
    /// A domain of the DMA API.
    Dma,
    /// A domain of someone else.
    Unmanaged,
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Use::Blocked => "blocked",
            Use::Identity => "identity",
            Use::Dma => "DMA",
            Use::Unmanaged => "unmanaged",
        })
    }
}

/// What changes at an attach.
pub(crate) struct State {
    /// What it is attached to.
    pub(crate) is: Use,
    /// Its domain-id there; 0 where there is none.
    pub(crate) domain_id: u16,
    /// Its part in who owns the group.
    pub(crate) owned: Owned,
    /// Whom to tell when it leaves.
    pub(super) attached: Option<Arc<dyn Attached>>,
    /// The domain that it had before, which the core may have to give it back; only compared.
    pub(super) came_from: Option<usize>,
    /// Its share in the domain-id that it had there, while it is blocked. The core does so for a
    /// reset, and then relies on the attach: it must not find all ids taken.
    pub(super) took_along: Option<Arc<TakenId>>,
    /// The group, once known.
    pub(crate) group: Option<Group>,
    /// Whether the group's account has the device.
    pub(crate) counted: bool,
}

impl State {
    /// The group's number, once known.
    pub(crate) fn group_id(&self) -> Option<u32> {
        self.group.as_ref().map(Group::id)
    }

    /// The domain with tables that it is attached to, if it is one.
    pub(crate) fn attached(&self) -> Option<&dyn Attached> {
        self.attached.as_deref()
    }
}
