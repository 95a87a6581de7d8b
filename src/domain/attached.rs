// SPDX-License-Identifier: GPL-2.0

//! What a device needs of the domain that it is attached to, and what its reports show of it.

use super::paging::DomainInner;
use crate::device::{AddressHistory, AttachedDomain, TraceSteps};
use crate::unit::{AllocatedDomainId, DeviceTlb, Unit};
use core::ops::ControlFlow;
use kernel::prelude::*;
use kernel::sync::Arc;
use vtd_core::concurrent::attachments::AttachedUnits;
use vtd_core::pgtable::{VisitEnd, VisitedLeaf, WalkTrace};
use vtd_core::spec::address::{Iova, PhysAddr};
use vtd_core::spec::registers::TranslationTableMode;

impl AttachedDomain for DomainInner {
    fn detach_unit(
        &self,
        unit: &Arc<Unit>,
        tlb: Option<&DeviceTlb>,
    ) -> Option<Arc<AllocatedDomainId>> {
        if unit.may_still_reach() {
            self.lose_held();
        }
        let id = self.attachments.leave(unit)?;
        if let Some(tlb) = tlb {
            self.attachments.leave_device_tlb(tlb, id.id());
        }
        Some(id)
    }

    fn top_table(&self) -> PhysAddr {
        self.tables.top_table()
    }

    fn collect_leaves(&self, from: Iova, found: &mut KVec<VisitedLeaf>) -> Option<Iova> {
        let mut next_leaf = None;
        let mut take = |leaf: &VisitedLeaf| match found.push_within_capacity(*leaf) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => {
                next_leaf = Some(leaf.iova);
                ControlFlow::Break(())
            }
        };
        match self.visit_leaves(from, &mut take) {
            VisitEnd::Done => None,
            VisitEnd::Broken => next_leaf,
            VisitEnd::At(next) => Some(next),
        }
    }

    fn trace_walk(
        &self,
        address: Iova,
        mode: TranslationTableMode,
        steps: &mut TraceSteps,
    ) -> WalkTrace {
        self.trace_into(address, mode, steps)
    }

    fn history_of(&self, address: u64) -> AddressHistory {
        self.history.look_up(address)
    }

    fn is_lazy(&self) -> bool {
        self.flushing.is_lazy()
    }

    fn number(&self) -> u64 {
        self.number
    }
}
