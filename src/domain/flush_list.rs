// SPDX-License-Identifier: GPL-2.0

//! The units of the machine, for the list of those that a flush of one domain reaches
//! ([`vtd_core::lockless::flush_list`]).

use crate::unit::Unit;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel_ext::pages::Charge;
use vtd_core::lockless::flush_list::{self, DomainUnits, PublishedTag};

/// All units of the machine.
pub(crate) type Units = Arc<KVec<Arc<Unit>>>;

/// The units that a flush of one domain reaches.
pub(super) type FlushList = flush_list::FlushList<AllUnits>;

/// All units, with the place of the tag of each.
pub(super) struct AllUnits {
    /// The unit of the device for which the domain was allocated.
    primary: Arc<Unit>,
    /// The published tags of `units`, in the same order. That of the primary unit is not used. Empty
    /// if there is only one unit.
    other_tags: KVec<PublishedTag>,
    units: Units,
}

impl AllUnits {
    /// Creates the list. Its memory is charged to `charge`.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(super) fn new(primary: Arc<Unit>, units: Units, charge: Charge) -> Result<Self> {
        let others = if units.len() > 1 { units.len() } else { 0 };
        let mut other_tags = KVec::with_capacity(others, charge.flags())?;
        for _ in 0..others {
            let _ = other_tags.push_within_capacity(PublishedTag::new());
        }
        Ok(AllUnits {
            primary,
            other_tags,
            units,
        })
    }

    /// Returns the unit of the device for which the domain was allocated.
    pub(super) fn primary_unit(&self) -> &Arc<Unit> {
        &self.primary
    }
}

impl DomainUnits for AllUnits {
    type Unit = Unit;

    #[inline(always)]
    fn primary(&self) -> &Unit {
        &self.primary
    }

    fn others(&self) -> impl Iterator<Item = (&Unit, &PublishedTag)> {
        let units = self.units.iter().map(|unit| &**unit);
        units.zip(self.other_tags.iter())
    }
}
