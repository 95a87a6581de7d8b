// SPDX-License-Identifier: GPL-2.0

//! Invalidates a unit's caches, through its queue or, if it has none, through registers.
//!
//! A caller that unmaps cannot handle an error: the memory is about to be reused. So a unit that
//! does not confirm an [invalidation](Invalidator::submit_sync) becomes a failed unit: every
//! requester is blocked and all caches are invalidated. If the unit responds to nothing any more, a
//! message in the log says so.

use super::queue::Queue;
use super::queue_error::QueueFailure;
use crate::unit::registers::UnitRegisters;
use crate::unit::statistics::Statistics;
use core::cell::Cell;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::prelude::*;
use kernel_ext::clock;
use kernel_ext::lock::IrqSpinLock;
use vtd_core::invalidation::{Invalidation, RangeInvalidator};
use vtd_core::spec::capability::{Capability, ExtendedCapability};
use vtd_core::spec::command::{ContextCommand, IotlbCommand};
use vtd_core::spec::descriptor::Descriptor;
use vtd_core::spec::registers::{self, IotlbRegisters};
use vtd_core::spec::scope::{ContextScope, Drain, IotlbScope};
use vtd_core::spec::status::Gcmd;

/// The means to invalidate one unit's caches.
#[pin_data]
pub(crate) struct Invalidator {
    pub(in crate::unit) queue: Option<Pin<KBox<Queue>>>,
    /// Whether hardware may use the queue.
    is_on: AtomicBool,
    iotlb: IotlbRegisters,
    drain: Drain,
    pub(super) range_invalidator: RangeInvalidator,
    /// Register-based invalidations are done one at a time.
    #[pin]
    registers: IrqSpinLock<OneAtATime>,
}

/// What the lock [`Invalidator::registers`] protects: the registers, which hold only one command.
struct OneAtATime;

/// Why hardware did not confirm an invalidation.
pub(crate) enum InvalidationFailure {
    /// The queue stopped, for this reason.
    Queue(QueueFailure),
    /// A register command that did not complete.
    Register(&'static str),
    /// A register command that completed without invalidating anything.
    Refused(&'static str),
}

impl fmt::Display for InvalidationFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidationFailure::Queue(failure) => fmt::Display::fmt(failure, f),
            InvalidationFailure::Register(name) => write!(f, "its {name} register stays busy"),
            InvalidationFailure::Refused(name) => {
                write!(f, "its {name} register refused an invalidation")
            }
        }
    }
}

impl Invalidator {
    /// Creates the invalidator of a unit, with a queue if one is to be used. The queue is off.
    pub(crate) fn new(
        cap: Capability,
        ecap: ExtendedCapability,
        queue: Option<Pin<KBox<Queue>>>,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            queue,
            is_on: AtomicBool::new(false),
            iotlb: registers::iotlb(ecap),
            drain: Drain::of(cap),
            range_invalidator: RangeInvalidator::new(cap),
            registers <- kernel_ext::new_irq_spinlock!(OneAtATime, c"vtd register invalidation"),
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
            Some(queue) if self.is_on.load(Ordering::Relaxed) => {
                if regs.status().queue_enabled() {
                    // A queue that does not complete even this wait is turned off as it is.
                    let _ = queue.submit(regs, core::iter::empty(), || {});
                }
                regs.command(Gcmd::QUEUE, false)?;
                self.is_on.store(false, Ordering::Relaxed);
                Ok(())
            }
            _ => Ok(()),
        }
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
                let drain = self.drain;
                let descriptors = requests.iter().map(move |request| match *request {
                    Invalidation::Context(scope) => Descriptor::ContextCache(scope),
                    Invalidation::Iotlb(scope) => Descriptor::Iotlb { scope, drain },
                });
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
                self.registers.with(|one_at_a_time| {
                    stats.count_by_register(*request);
                    self.invalidate_by_register(one_at_a_time, regs, *request)
                })
            }),
        }
    }

    /// Does one invalidation through registers (VT-d 6.5.1). The lock `registers` is held.
    fn invalidate_by_register(
        &self,
        _one_at_a_time: &mut OneAtATime,
        regs: &UnitRegisters,
        request: Invalidation,
    ) -> Result<(), InvalidationFailure> {
        match request {
            Invalidation::Context(scope) => {
                regs.write64(registers::CCMD, ContextCommand::new(scope).raw());
                regs.wait(|| !ContextCommand::is_busy(regs.read64(registers::CCMD)))
                    .map_err(|_| InvalidationFailure::Register("context command"))?;
                ContextCommand::actual_granularity(regs.read64(registers::CCMD))
                    .map(|_| ())
                    .ok_or(InvalidationFailure::Refused("context command"))
            }
            Invalidation::Iotlb(scope) => {
                let command = IotlbCommand::new(scope, self.drain);
                if let Some(address) = command.address() {
                    regs.write64(self.iotlb.address, address);
                }
                regs.write64(self.iotlb.command, command.command());
                regs.wait(|| !IotlbCommand::is_busy(regs.read64(self.iotlb.command)))
                    .map_err(|_| InvalidationFailure::Register("IOTLB invalidate"))?;
                IotlbCommand::actual_granularity(regs.read64(self.iotlb.command))
                    .map(|_| ())
                    .ok_or(InvalidationFailure::Refused("IOTLB invalidate"))
            }
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

    /// Invalidates all caches by every available path, waits for requests in flight, and turns the
    /// queue off. For a unit that has failed, after its root table was cleared.
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn invalidate_all(
        &self,
        regs: &UnitRegisters,
        paths: InvalidationPaths,
    ) -> Invalidated {
        // Setting the root table invalidates everything that was cached from the old one, whatever
        // state the queue is in. It does not wait for writes that were translated before: only an
        // invalidation through the queue or registers drains those.
        let by_root_table = paths.root_table && regs.command(Gcmd::SET_ROOT_TABLE, true).is_ok();
        let mut all = by_root_table && self.drain == Drain::NONE;
        if let Some(queue) = &self.queue {
            queue.abort();
            if regs.status().queue_enabled() {
                let drained = queue.drain_after_error(regs, self.drain);
                all = all || (drained && paths.queue && queue.invalidate_all(regs, self.drain));
                // The queue must be empty, with a wait as its last descriptor. Every submission
                // ends with one.
                let _ = regs.command(Gcmd::QUEUE, false);
            }
        }
        if all || (paths.registers && self.invalidate_all_by_registers(regs)) {
            Invalidated::All
        } else if by_root_table {
            Invalidated::Undrained
        } else {
            Invalidated::Nothing
        }
    }

    /// Invalidates all caches through registers, which works only while the queue is off. Returns
    /// whether the unit confirmed it.
    fn invalidate_all_by_registers(&self, regs: &UnitRegisters) -> bool {
        let everything = [
            Invalidation::Context(ContextScope::Global),
            Invalidation::Iotlb(IotlbScope::Global),
        ];
        self.registers.with(|one_at_a_time| {
            let mut by_register = |request| {
                self.invalidate_by_register(one_at_a_time, regs, request)
                    .is_ok()
            };
            !regs.status().queue_enabled() && everything.into_iter().all(&mut by_register)
        })
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
