// SPDX-License-Identifier: GPL-2.0

//! A domain-id that is in use.

use super::domain_ids::DomainIdOwner;
use crate::unit::Unit;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel_ext::pages::Charge;
use vtd_core::spec::address::DomainId;

impl DomainIdOwner {
    /// Returns how memory that is allocated for this owner is charged.
    pub(crate) fn charge(self) -> Charge {
        match self {
            DomainIdOwner::Kernel => Charge::Unaccounted,
            DomainIdOwner::User => Charge::Caller,
        }
    }
}

/// A domain-id of one unit. It is freed when the last reference is dropped, which may sleep. No
/// translation may be cached under it then.
pub(crate) struct AllocatedDomainId {
    unit: Arc<Unit>,
    id: DomainId,
}

impl AllocatedDomainId {
    /// Allocates a domain-id of `unit`.
    ///
    /// # Errors
    ///
    /// [`ENOSPC`]: none is left for `id_owner`. [`ENOMEM`] if an allocation fails.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn allocate(unit: &Arc<Unit>, id_owner: DomainIdOwner) -> Result<Arc<Self>> {
        let taken = AllocatedDomainId {
            id: unit.ids.lock().allocate(id_owner)?,
            unit: unit.clone(),
        };
        // Not charged to the caller, because locks are held that others wait for. There are no more
        // of these than devices.
        Ok(Arc::new(taken, GFP_KERNEL)?)
    }

    /// Returns the unit whose domain-id this is.
    pub(crate) fn unit(&self) -> &Arc<Unit> {
        &self.unit
    }

    /// Returns the domain-id.
    pub(crate) fn id(&self) -> DomainId {
        self.id
    }
}

impl Drop for AllocatedDomainId {
    fn drop(&mut self) {
        self.unit.ids.lock().free(self.id)
    }
}
