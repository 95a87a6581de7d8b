// SPDX-License-Identifier: GPL-2.0

//! The units of the model, as the flush of a domain uses them (`src/core/lockless/flush_list.rs`):
//! what `Unit` of `src/unit` does for it, and its bugs.

use crate::caches_bugs::Bug;
use crate::caches_hardware::Hardware;
use core::convert::Infallible;
use std::rc::Rc;
use vtd_core::invalidation::{
    CacheTag, InvalidationRange, InvalidationStep, InvalidationSteps, RangeInvalidator,
};
use vtd_core::lockless::flush_list::{DomainUnits, FlushedUnit, PublishedTag};
use vtd_core::spec::address::DomainId;
use vtd_core::spec::capability::Capability;
use vtd_core::spec::invalidation::Invalidation;
use vtd_core::spec::scope::{IotlbScope, PageBlock};

/// One unit.
pub(crate) struct ModelUnit {
    hw: Rc<Hardware>,
    number: usize,
}

/// All units. The first one is the primary unit of each domain.
pub(crate) struct AllUnits(Vec<(Rc<ModelUnit>, PublishedTag)>);

impl AllUnits {
    pub(crate) fn new(hw: &Rc<Hardware>) -> Self {
        let unit = |number| {
            let hw = hw.clone();
            (Rc::new(ModelUnit { hw, number }), PublishedTag::new())
        };
        Self((0..hw.units.len()).map(unit).collect())
    }

    /// Returns the unit with a number.
    pub(crate) fn unit(&self, number: usize) -> &Rc<ModelUnit> {
        &self.0[number].0
    }
}

impl ModelUnit {
    /// Returns its number.
    pub(crate) fn number(&self) -> usize {
        self.number
    }
}

impl DomainUnits for AllUnits {
    type Unit = ModelUnit;

    fn primary(&self) -> &ModelUnit {
        &self.0[0].0
    }

    fn others(&self) -> impl Iterator<Item = (&ModelUnit, &PublishedTag)> {
        self.0.iter().map(|(unit, tag)| (&**unit, tag))
    }
}

impl FlushedUnit for ModelUnit {
    type Begun = ();
    type Error = Infallible;

    fn cap(&self) -> Capability {
        self.hw.cap(self.number)
    }

    fn invalidate_range(&self, id: DomainId, range: InvalidationRange) {
        let tag = CacheTag::SecondStage(id);
        self.begin_with(tag, range, Vec::new());
        self.finish_range((), tag, range);
    }

    fn begin_range(&self, tag: CacheTag, range: InvalidationRange) {
        let devices = self.hw.device_tlb_invalidations(self.number, tag, range);
        self.begin_with(tag, range, devices);
    }

    fn finish_range(&self, (): (), _: CacheTag, _: InvalidationRange) {
        if self.number == 0 || !self.hw.has(Bug::OtherUnitNotWaitedFor) {
            self.hw.finish(self.number);
        }
    }

    fn begin_steps(&self, _: InvalidationSteps) {}

    fn finish_steps(&self, (): (), steps: InvalidationSteps) -> Result<(), Infallible> {
        let steps = steps.iter().filter_map(|step| match step {
            InvalidationStep::Invalidate(Invalidation::Iotlb(_))
                if self.hw.has(Bug::MapNotInvalidated) =>
            {
                None
            }
            InvalidationStep::Invalidate(Invalidation::Iotlb(IotlbScope::Pages {
                domain,
                block,
                ..
            })) if self.hw.has(Bug::MapInvalidatedLeavesOnly) => {
                let leaves_only = IotlbScope::Pages {
                    domain,
                    block,
                    leaves_only: true,
                };
                Some(InvalidationStep::Invalidate(Invalidation::Iotlb(
                    leaves_only,
                )))
            }
            step => Some(step),
        });
        self.hw.perform(self.number, steps);
        self.hw.must_be_written(self.number);
        Ok(())
    }
}

impl ModelUnit {
    /// Begins an invalidation of the unit, and then those of the `devices`.
    fn begin_with(&self, tag: CacheTag, range: InvalidationRange, devices: Vec<Invalidation>) {
        let is_other = self.number != 0;
        if is_other && self.hw.has(Bug::OtherUnitNotFlushed) {
            return;
        }
        if is_other && range == InvalidationRange::ALL && self.hw.has(Bug::OtherUnitNotFlushedAtAll)
        {
            return;
        }
        let mut invalidation = RangeInvalidator::new(self.cap()).invalidation(tag, range);
        if let Invalidation::Iotlb(scope) = &mut invalidation {
            *scope = self.with_bug(*scope);
        }
        let mut batch = vec![invalidation];
        batch.extend(devices);
        if self.hw.has(Bug::DeviceTlbBeforeIotlb) {
            batch.reverse();
        }
        self.hw.begin(self.number, &batch);
    }

    fn with_bug(&self, scope: IotlbScope) -> IotlbScope {
        let IotlbScope::Pages {
            mut domain,
            mut block,
            mut leaves_only,
        } = scope
        else {
            return match scope {
                IotlbScope::Domain(id) if self.hw.has(Bug::WrongDomainId) => {
                    IotlbScope::Domain(DomainId::new(id.raw() ^ 1))
                }
                _ => scope,
            };
        };
        if self.hw.has(Bug::WholeDomainEachTime) {
            return IotlbScope::Domain(domain);
        }
        if self.hw.has(Bug::WrongDomainId) {
            domain = DomainId::new(domain.raw() ^ 1);
        }
        if block.address_mask() > 0 && self.hw.has(Bug::MaskOneTooSmall) {
            block = PageBlock::new(block.address(), block.address_mask() - 1).expect("aligned");
        }
        if self.hw.has(Bug::HintAlwaysSet) {
            leaves_only = true;
        }
        if self.hw.has(Bug::HintNeverSet) {
            leaves_only = false;
        }
        IotlbScope::Pages {
            domain,
            block,
            leaves_only,
        }
    }
}
