// SPDX-License-Identifier: GPL-2.0

//! Invalidates a unit's caches, through its queue or, if it has none, through registers.
//!
//! A caller that unmaps cannot handle an error: the memory is about to be reused. So a unit that
//! does not confirm an [invalidation](Invalidator::submit_sync) becomes a failed unit: every
//! requester is blocked and all caches are invalidated. If the unit responds to nothing any more, a
//! message in the log says so.

use super::by_register::RegisterInvalidator;
use super::failure::InvalidationFailure;
use super::queue::Queue;
use crate::unit::registers::UnitRegisters;
use crate::unit::statistics::Statistics;
use core::cell::Cell;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::prelude::*;
use kernel_ext::clock;
use vtd_core::concurrent::queue::InvalidationQueue;
use vtd_core::concurrent::register_commands::CommandRegisters;
use vtd_core::invalidation::RangeInvalidator;
use vtd_core::spec::capability::{Capability, ExtendedCapability};
use vtd_core::spec::descriptor::InvalidationEncoder;
use vtd_core::spec::invalidation::{InterruptScope, Invalidation};
use vtd_core::spec::registers;
use vtd_core::spec::scope::Drain;
use vtd_core::spec::status::Gcmd;

/// The means to invalidate one unit's caches.
#[pin_data]
pub(crate) struct Invalidator {
    pub(in crate::unit) queue: Option<Pin<KBox<Queue>>>,
    /// Whether hardware may use the queue.
    is_on: AtomicBool,
    drain: Drain,
    pub(super) encoder: InvalidationEncoder,
    pub(super) range_invalidator: RangeInvalidator,
    #[pin]
    pub(super) registers: RegisterInvalidator,
}

impl Invalidator {
    /// Creates the invalidator of unit number `index`, with a queue if one is to be used. The queue is off.
    pub(crate) fn new(
        index: usize,
        cap: Capability,
        ecap: ExtendedCapability,
        queue: Option<Pin<KBox<Queue>>>,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            queue,
            is_on: AtomicBool::new(false),
            drain: Drain::of(cap),
            encoder: InvalidationEncoder::new(Drain::of(cap)),
            range_invalidator: RangeInvalidator::new(cap),
            registers <- RegisterInvalidator::new(index, registers::iotlb(ecap), Drain::of(cap)),
        })
    }

    /// Returns whether invalidations go through the queue.
    pub(crate) fn is_queued(&self) -> bool {
        self.queue.is_some()
    }

    /// Turns the queue on, if there is one.
    ///
    /// # Errors
    ///
    /// [`ETIMEDOUT`] if the unit does not acknowledge the command.
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn enable(&self, regs: &UnitRegisters) -> Result {
        self.queue.as_ref().map_or(Ok(()), |queue| {
            // Set before the command: a command that times out may still take effect later.
            self.is_on.store(true, Ordering::Relaxed);
            queue.enable(regs)
        })
    }

    /// Turns the queue off, if [`Self::enable`] turned it on. Hardware requires that the queue is
    /// empty then, with a wait as its last descriptor.
    ///
    /// # Errors
    ///
    /// [`ETIMEDOUT`] if the unit does not acknowledge the command.
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn disable(&self, regs: &UnitRegisters) -> Result {
        match &self.queue {
            Some(_) if self.is_on.load(Ordering::Relaxed) => {
                if regs.status().queue_enabled() {
                    // A queue that does not complete even this wait is turned off as it is.
                    let _ = self.complete_wait(regs);
                }
                regs.command(Gcmd::QUEUE, false)?;
                self.is_on.store(false, Ordering::Relaxed);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Submits a wait alone, if there is a queue, and returns when hardware has completed it.
    ///
    /// # Errors
    ///
    /// The reason why hardware did not complete it.
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn complete_wait(&self, regs: &UnitRegisters) -> Result<(), InvalidationFailure> {
        self.queue.as_ref().map_or(Ok(()), |queue| {
            let waited = queue.submit(regs, core::iter::empty(), || {});
            waited.map_err(InvalidationFailure::Queue)
        })
    }

    /// Submits `requests` and returns when hardware has confirmed all of them.
    ///
    /// # Errors
    ///
    /// The reason why hardware did not confirm one of them.
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn submit_sync(
        &self,
        regs: &UnitRegisters,
        requests: &[Invalidation],
        stats: &Statistics,
    ) -> Result<(), InvalidationFailure> {
        if requests.is_empty() {
            return Ok(());
        }
        match &self.queue {
            Some(queue) => {
                let descriptors = requests.iter().map(|request| self.encoder.encode(*request));
                let submitted = Cell::new(false);
                let count = || {
                    submitted.set(true);
                    stats.count_requests(requests);
                };
                let start = clock::now_ns();
                let done = queue.submit(regs, descriptors, count);
                if submitted.get() {
                    stats.waits.count_since(start);
                }
                done.map_err(InvalidationFailure::Queue)
            }
            None => requests.iter().try_for_each(|request| {
                let count = || stats.count_by_register(*request);
                let end = self.registers.submit(regs, *request, count);
                end.and_then(|end| self.registers.wait_for(regs, end))
                    .map_err(InvalidationFailure::Registers)
            }),
        }
    }

    /// Handles queue errors that hardware reported while no submitter was waiting.
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn acknowledge(&self, regs: &UnitRegisters) {
        if let Some(queue) = &self.queue {
            queue.acknowledge(regs)
        }
    }

    /// Invalidates `everything` by every available path, waits for requests in flight, and turns the
    /// queue off. For a unit that has failed, after its tables were cleared. Returns what it
    /// confirmed, and whether it confirmed that it has dropped its interrupt entries.
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn invalidate_all(
        &self,
        regs: &UnitRegisters,
        everything: &[Invalidation],
        paths: InvalidationPaths,
    ) -> (Invalidated, bool) {
        // Setting the root table invalidates everything that was cached from the old one, whatever
        // state the queue is in. It does not wait for writes that were translated before: only an
        // invalidation through the queue or registers drains those.
        let by_root_table = paths.root_table && regs.command(Gcmd::SET_ROOT_TABLE, true).is_ok();
        let mut all = by_root_table && self.drain == Drain::NONE;
        let mut interrupts = false;
        if let Some(queue) = &self.queue {
            queue.abort();
            if regs.status().queue_enabled() {
                let drained = queue.drain_after_error(regs, &self.encoder);
                let by_queue = drained && paths.queue;
                let invalidate = |what| queue.invalidate(regs, &self.encoder, what);
                all = all || (by_queue && invalidate(everything));
                let entries = Invalidation::InterruptEntries(InterruptScope::Global);
                interrupts = all && by_queue && paths.interrupts && invalidate(&[entries]);
                // The queue must be empty, with a wait as its last descriptor. Every submission
                // ends with one.
                let _ = regs.command(Gcmd::QUEUE, false);
            }
        }
        let by_registers = || !regs.status().queue_enabled() && self.registers.invalidate_all(regs);
        let invalidated = if all || (paths.registers && by_registers()) {
            Invalidated::All
        } else if by_root_table {
            Invalidated::Undrained
        } else {
            Invalidated::Nothing
        };
        (invalidated, interrupts)
    }
}

/// The paths by which the caches of a failed unit can be invalidated.
#[derive(Clone, Copy)]
pub(crate) struct InvalidationPaths {
    /// Setting the root table invalidates them (`CAP.ESRTPS`).
    pub(crate) root_table: bool,
    /// The queue, once it works again.
    pub(crate) queue: bool,
    /// The registers.
    pub(crate) registers: bool,
    /// Whether there are interrupt entries, which only the queue invalidates.
    pub(crate) interrupts: bool,
}

/// What a failed unit has confirmed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Invalidated {
    /// Its caches are empty, and requests that it translated before have completed.
    All,
    /// Its caches are empty, but writes in flight may not have drained.
    Undrained,
    /// Nothing.
    Nothing,
}
