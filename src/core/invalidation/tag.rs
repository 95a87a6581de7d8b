// SPDX-License-Identifier: GPL-2.0

//! How a unit tags what it caches of a domain.

use super::range::{InvalidationRange, RangeInvalidator};
use crate::spec::address::{DomainId, Pasid};
use crate::spec::invalidation::{Invalidation, PasidIotlbScope};
use crate::spec::level::Stage;
use crate::spec::scope::IotlbScope;

/// The tag of translations in the IOTLB and in the paging-structure caches (VT-d 6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheTag {
    /// Those of a second stage: a domain-id, whatever the PASID of a request.
    SecondStage(DomainId),
    /// Those of a first stage: a domain-id and a PASID. Scalable mode only.
    FirstStage {
        /// The domain-id.
        domain: DomainId,
        /// The PASID.
        pasid: Pasid,
    },
}

/// The bit of a packed first-stage tag. A packed second-stage tag is below.
const FIRST_STAGE: u64 = 1 << 32;
const PASID_SHIFT: u32 = 33;

impl CacheTag {
    /// Returns the tag of what a unit caches, for requests without PASID, of tables of `stage` with
    /// the domain-id `domain`.
    pub const fn of_requester_ids(stage: Stage, domain: DomainId) -> Self {
        match stage {
            Stage::Second => Self::SecondStage(domain),
            Stage::First => Self::FirstStage {
                domain,
                pasid: Pasid::RID_PASID,
            },
        }
    }

    /// Returns the tag as a number that is not 0: that of a second stage is its domain-id plus one.
    pub const fn packed(self) -> u64 {
        match self {
            Self::SecondStage(domain) => domain.raw() as u64 + 1,
            Self::FirstStage { domain, pasid } => {
                domain.raw() as u64 | FIRST_STAGE | (pasid.raw() as u64) << PASID_SHIFT
            }
        }
    }

    /// Returns the tag of a [packed](Self::packed) number; `None` for 0.
    #[inline(always)]
    pub const fn unpack(packed: u64) -> Option<Self> {
        if let Some(domain) = Self::unpack_second_stage(packed) {
            return Some(Self::SecondStage(domain));
        }
        if packed & FIRST_STAGE == 0 {
            return None;
        }
        match Pasid::new((packed >> PASID_SHIFT) as u32) {
            Some(pasid) => Some(Self::FirstStage {
                domain: DomainId::new(packed as u16),
                pasid,
            }),
            None => None,
        }
    }

    /// Returns the domain-id of a packed second-stage tag; `None` for other numbers.
    #[inline(always)]
    pub const fn unpack_second_stage(packed: u64) -> Option<DomainId> {
        let id = packed.wrapping_sub(1);
        if id <= u16::MAX as u64 {
            Some(DomainId::new(id as u16))
        } else {
            None
        }
    }
}

impl RangeInvalidator {
    /// Returns the invalidation that covers `range` of what is tagged with `tag`.
    pub fn invalidation(&self, tag: CacheTag, range: InvalidationRange) -> Invalidation {
        match tag {
            CacheTag::SecondStage(domain) => Invalidation::Iotlb(self.scope(domain, range)),
            CacheTag::FirstStage { domain, pasid } => {
                // A block beyond the largest address mask (CAP.MAMV) is left to no unit: whether
                // that limits invalidations with a PASID as well is not agreed upon.
                Invalidation::PasidIotlb(match self.scope(domain, range) {
                    IotlbScope::Pages {
                        block, leaves_only, ..
                    } => PasidIotlbScope::Pages {
                        domain,
                        pasid,
                        block,
                        leaves_only,
                    },
                    IotlbScope::Global | IotlbScope::Domain(_) => {
                        PasidIotlbScope::Pasid { domain, pasid }
                    }
                })
            }
        }
    }
}
