// SPDX-License-Identifier: GPL-2.0

//! The domain-ids of one unit ([`vtd_core::concurrent::domain_ids`]), with their memory.

use kernel::prelude::*;
use vtd_core::concurrent::domain_ids;
use vtd_core::spec::address::DomainId;

/// For whom a domain-id is allocated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum DomainIdOwner {
    /// The kernel: a domain of the DMA API.
    Kernel,
    /// A user, or a driver with a domain that it allocated itself.
    User,
}

/// The free and the used ids.
pub(crate) struct DomainIds(domain_ids::DomainIds<KVec<u64>>);

impl DomainIds {
    /// Creates the ids below `count` (`CAP.ND`), with only the reserved ones in use.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(crate) fn new(count: u32) -> Result<Self> {
        let first = domain_ids::DomainIds::<KVec<u64>>::FIRST_WORD;
        let used = KVec::from_elem(first, 1, GFP_KERNEL)?;
        Ok(DomainIds(domain_ids::DomainIds::new(used, count)))
    }

    /// Stops allocating ids from `count` on. For tests.
    pub(crate) fn limit(&mut self, count: u32) {
        self.0.limit(count)
    }

    /// Allocates an id that no domain of the unit has.
    ///
    /// # Errors
    ///
    /// [`ENOSPC`]: none is left for `id_owner`. [`ENOMEM`] if an allocation fails.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn allocate(&mut self, id_owner: DomainIdOwner) -> Result<DomainId> {
        let for_user = id_owner == DomainIdOwner::User;
        let push = |used: &mut KVec<u64>, word| used.push(word, GFP_KERNEL);
        self.0.allocate(for_user, push)?.ok_or(ENOSPC)
    }

    /// Frees `id`. No translation may be cached under it any more.
    pub(crate) fn free(&mut self, id: DomainId) {
        self.0.free(id)
    }

    /// Returns how many ids are allocated.
    pub(crate) fn used(&self) -> u32 {
        self.0.used()
    }
}
