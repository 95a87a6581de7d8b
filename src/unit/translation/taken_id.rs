// SPDX-License-Identifier: GPL-2.0

//! A domain-id that is in use.

use super::domain_ids::DomainIdOwner;
use crate::unit::Unit;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel_ext::pages::Charge;
use vtd_core::spec::address::DomainId;

impl DomainIdOwner {
    /// Whom the memory that it needs is charged to.
    pub(crate) fn charge(self) -> Charge {
        match self {
            DomainIdOwner::Kernel => Charge::Unaccounted,
            DomainIdOwner::User => Charge::Caller,
        }
    }
}

/// A domain-id of one unit; given back when the last share in it is dropped, which may sleep. Nothing
/// may be cached under it then.
pub(crate) struct AllocatedDomainId {
    unit: Arc<Unit>,
    id: DomainId,
}

impl AllocatedDomainId {
    /// Takes one. [`ENOSPC`] if there is none left for `id_owner`, [`ENOMEM`]. May sleep.
    pub(crate) fn allocate(unit: &Arc<Unit>, id_owner: DomainIdOwner) -> Result<Arc<Self>> {
        let taken = AllocatedDomainId {
            id: unit.ids.lock().allocate(id_owner)?,
            unit: unit.clone(),
        };
        // With locks held that others wait for; nobody has more of them than devices.
        Ok(Arc::new(taken, GFP_KERNEL)?)
    }

    /// The unit that knows it.
    pub(crate) fn unit(&self) -> &Arc<Unit> {
        &self.unit
    }

    /// Itself.
    pub(crate) fn id(&self) -> DomainId {
        self.id
    }
}

impl Drop for AllocatedDomainId {
    fn drop(&mut self) {
        self.unit.ids.lock().free(self.id)
    }
}
