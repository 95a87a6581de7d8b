// SPDX-License-Identifier: GPL-2.0

//! Invalidations in two steps, so that several units work at the same time: begin on all of them,
//! then finish on each.
//!
//! To begin never waits for hardware, whatever the state of the unit: what cannot be submitted
//! immediately is done when it is finished. That is so if the queue has no room, if the registers of
//! a unit without a queue are in use, and if the unit must flush its write buffer first or is just
//! being failed. To finish waits, without a lock and with interrupts as they were, except for a
//! write buffer. After an error the unit has failed and every requester behind it is blocked; the
//! other units are not affected.

use crate::unit::Unit;
use kernel::prelude::*;
use vtd_core::concurrent::register_commands::CommandRegisters;
use vtd_core::invalidation::{CacheTag, InvalidationRange, InvalidationStep, InvalidationSteps};
use vtd_core::lockless::flush_list::FlushedUnit;
use vtd_core::spec::address::DomainId;
use vtd_core::spec::capability::Capability;
use vtd_core::spec::invalidation::Invalidation;

/// An invalidation that was begun on a unit, and has to be finished there.
#[must_use = "the unit may still have the translations in its caches"]
pub(crate) enum Begun {
    /// There is nothing to do.
    Nothing,
    /// It is complete when hardware has completed this many descriptors, or commands in registers.
    Submitted(u32),
    /// Nothing was submitted yet.
    Postponed,
}

impl FlushedUnit for Unit {
    type Begun = Begun;
    type Error = Error;

    fn cap(&self) -> Capability {
        self.cap
    }

    #[inline(always)]
    fn invalidate_range(&self, id: DomainId, range: InvalidationRange) {
        Unit::invalidate_range(self, id, range)
    }

    fn begin_range(&self, tag: CacheTag, range: InvalidationRange) -> Begun {
        if let Some(queue) = self.invalidator.queue.as_deref() {
            return self.begin_with_device_tlbs(queue, tag, range);
        }
        self.begin(self.invalidator.range_invalidator.invalidation(tag, range))
    }

    fn finish_range(&self, begun: Begun, tag: CacheTag, range: InvalidationRange) {
        match begun {
            Begun::Nothing => {}
            // After an error every requester is blocked, so the caller can continue.
            Begun::Submitted(end) => {
                let _ = self.finish(end);
            }
            Begun::Postponed => self.invalidate_range_slow(tag, range),
        }
    }

    fn begin_steps(&self, steps: InvalidationSteps) -> Begun {
        let mut steps = steps.iter();
        match (steps.next(), steps.next()) {
            (None, _) => Begun::Nothing,
            (Some(InvalidationStep::Invalidate(only)), None) => self.begin(only),
            _ => Begun::Postponed,
        }
    }

    fn finish_steps(&self, begun: Begun, steps: InvalidationSteps) -> Result {
        match begun {
            Begun::Nothing => Ok(()),
            Begun::Submitted(end) => self.finish(end),
            Begun::Postponed => self.perform(steps.iter()),
        }
    }
}

impl Unit {
    #[inline(always)]
    fn begin(&self, request: Invalidation) -> Begun {
        if !self.is_queued() {
            return self.begin_by_register(request);
        }
        let words = self.invalidator.encoder.encode(request);
        match self.try_submit(&words, || self.stats.count_requests(&[request])) {
            Some((_, end)) => Begun::Submitted(end),
            None => Begun::Postponed,
        }
    }

    fn begin_by_register(&self, request: Invalidation) -> Begun {
        let count = || self.stats.count_by_register(request);
        let registers = &self.invalidator.registers;
        let end = match self.state.is_enabled() {
            true => registers.try_submit(&self.regs, request, count),
            false => None,
        };
        end.map_or(Begun::Postponed, Begun::Submitted)
    }

    fn finish(&self, end: u32) -> Result {
        if let Some(queue) = self.invalidator.queue.as_deref() {
            return self.wait_for(queue, end);
        }
        let done = self.invalidator.registers.wait_for(&self.regs, end);
        done.map_err(|failure| {
            self.fail(&failure);
            EIO
        })
    }
}
