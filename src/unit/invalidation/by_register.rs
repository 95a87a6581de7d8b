// SPDX-License-Identifier: GPL-2.0

//! Register-based invalidation (VT-d 6.5.1): the registers hold one command at a time.
//!
//! A command has a number, as a descriptor of the queue has, and any number of threads can wait for
//! it. A thread that waits notes that the current command is complete, even if it is another
//! thread's. So a thread that is interrupted keeps no other from the registers.
//!
//! # Invariants
//!
//! - `current` is a command that was written and was not yet seen complete; then `begun` is its
//!   number. Nothing is written as long as there is one.
//! - The commands up to number `finished` are complete.
//!
//! # Locks
//!
//! `state` is held while registers are read or written. It is held while hardware is waited for only
//! if the unit has failed.

use super::failure::InvalidationFailure;
use super::trace::trace_command;
use crate::unit::registers::UnitRegisters;
use kernel::prelude::*;
use kernel_ext::clock;
use kernel_ext::lock::IrqSpinLock;
use vtd_core::progress_timeout::ProgressTimeout;
use vtd_core::spec::command::{ContextCommand, IotlbCommand, RegisterCommand};
use vtd_core::spec::invalidation::Invalidation;
use vtd_core::spec::registers::{self, IotlbRegisters};
use vtd_core::spec::scope::{ContextScope, Drain, IotlbScope};

/// The register that holds a command.
#[derive(Clone, Copy)]
enum CommandRegister {
    Context,
    Iotlb,
}

impl CommandRegister {
    fn name(self) -> &'static str {
        match self {
            CommandRegister::Context => "context command",
            CommandRegister::Iotlb => "IOTLB invalidate",
        }
    }
}

struct Commands {
    /// The number of commands written so far; wraps.
    begun: u32,
    /// The number of those that are complete.
    finished: u32,
    current: Option<CommandRegister>,
    /// The register that completed a command without invalidating anything.
    refused: Option<CommandRegister>,
}

/// The registers with which one unit's caches are invalidated.
#[pin_data]
pub(super) struct RegisterInvalidator {
    /// The index of the unit.
    index: usize,
    iotlb: IotlbRegisters,
    drain: Drain,
    #[pin]
    state: IrqSpinLock<Commands>,
}

impl RegisterInvalidator {
    /// Creates the invalidator of unit number `index` with these IOTLB registers.
    pub(super) fn new(index: usize, iotlb: IotlbRegisters, drain: Drain) -> impl PinInit<Self> {
        let none = Commands {
            begun: 0,
            finished: 0,
            current: None,
            refused: None,
        };
        pin_init!(Self {
            index,
            iotlb,
            drain,
            state <- kernel_ext::new_irq_spinlock!(none, c"vtd register invalidation"),
        })
    }

    /// Writes a command, if the registers are free and have one for `request`. Returns the number to
    /// wait for. `count` is called with the registers locked, once it is certain that the command
    /// will be written.
    ///
    /// # Context
    ///
    /// Any context.
    pub(super) fn try_submit(
        &self,
        regs: &UnitRegisters,
        request: Invalidation,
        count: impl FnOnce(),
    ) -> Option<u32> {
        let command = RegisterCommand::new(request, self.drain)?;
        self.state.with(|state| {
            self.update(regs, state);
            if state.current.is_some() {
                return None;
            }
            count();
            trace_command(self.index, request);
            self.write(regs, state, command);
            Some(state.begun)
        })
    }

    /// Writes a command as soon as the registers are free. Returns the number to wait for; `count`
    /// is called as by [`Self::try_submit`].
    ///
    /// # Errors
    ///
    /// Those of [`Self::wait_for`], and [`InvalidationFailure::NoCommand`].
    ///
    /// # Context
    ///
    /// Any context.
    pub(super) fn submit(
        &self,
        regs: &UnitRegisters,
        request: Invalidation,
        count: impl Fn(),
    ) -> Result<u32, InvalidationFailure> {
        let command = RegisterCommand::new(request, self.drain)
            .ok_or(InvalidationFailure::NoCommand(request))?;
        let mut end = None;
        self.wait_until(regs, |state| {
            if state.current.is_none() {
                count();
                trace_command(self.index, request);
                self.write(regs, state, command);
                end = Some(state.begun);
            }
            end.is_some()
        })?;
        end.ok_or(InvalidationFailure::Register("IOTLB invalidate"))
    }

    /// Waits until hardware has completed every command up to number `end`.
    ///
    /// # Errors
    ///
    /// The reason why hardware did not complete them.
    ///
    /// # Context
    ///
    /// Any context.
    pub(super) fn wait_for(
        &self,
        regs: &UnitRegisters,
        end: u32,
    ) -> Result<(), InvalidationFailure> {
        self.wait_until(regs, |state| state.finished.wrapping_sub(end) as i32 >= 0)
    }

    /// Waits until `done`, which is called with the registers locked. As long as the registers
    /// complete commands of others, the wait is longer.
    fn wait_until(
        &self,
        regs: &UnitRegisters,
        mut done: impl FnMut(&mut Commands) -> bool,
    ) -> Result<(), InvalidationFailure> {
        let mut timeout = None;
        let mut expired = false;
        loop {
            // Read first: if the machine was stopped past the deadline, the state is newer.
            let now = clock::now_ns();
            let checked = self.state.with(|state| {
                self.update(regs, state);
                match (state.refused, state.current) {
                    (Some(by), _) => Err(InvalidationFailure::Refused(by.name())),
                    _ if done(state) => Ok(None),
                    (None, by) => Ok(Some((state.finished, by))),
                }
            })?;
            let Some((finished, by)) = checked else {
                return Ok(());
            };
            if expired {
                let name = by.unwrap_or(CommandRegister::Iotlb).name();
                return Err(InvalidationFailure::Register(name));
            }
            let limit = regs.time_out_ms().saturating_mul(1_000_000);
            expired = timeout
                .get_or_insert(ProgressTimeout::start(now, finished))
                .has_expired(now, finished, limit);
            clock::cpu_relax();
        }
    }

    /// Notes whether the current command is complete. The registers are locked.
    fn update(&self, regs: &UnitRegisters, state: &mut Commands) {
        let Some(register) = state.current else {
            return;
        };
        let (busy, done) = match register {
            CommandRegister::Context => {
                let raw = regs.read64(registers::CCMD);
                let done = ContextCommand::actual_granularity(raw).is_some();
                (ContextCommand::is_busy(raw), done)
            }
            CommandRegister::Iotlb => {
                let raw = regs.read64(self.iotlb.command);
                let done = IotlbCommand::actual_granularity(raw).is_some();
                (IotlbCommand::is_busy(raw), done)
            }
        };
        if busy {
            return;
        }
        state.current = None;
        if done {
            state.finished = state.begun;
        } else {
            state.refused = Some(register);
        }
    }

    /// Writes a command into the registers, which are locked and free.
    fn write(&self, regs: &UnitRegisters, state: &mut Commands, command: RegisterCommand) {
        state.begun = state.begun.wrapping_add(1);
        state.current = Some(match command {
            RegisterCommand::Context(command) => {
                regs.write64(registers::CCMD, command.raw());
                CommandRegister::Context
            }
            RegisterCommand::Iotlb(command) => {
                if let Some(address) = command.address() {
                    regs.write64(self.iotlb.address, address);
                }
                regs.write64(self.iotlb.command, command.command());
                CommandRegister::Iotlb
            }
        });
    }

    /// Invalidates all caches of a unit that has failed, while its queue is off. Returns whether the
    /// unit confirmed it.
    ///
    /// # Context
    ///
    /// Any context.
    pub(super) fn invalidate_all(&self, regs: &UnitRegisters) -> bool {
        let everything = [
            Invalidation::Context(ContextScope::Global),
            Invalidation::Iotlb(IotlbScope::Global),
        ];
        self.state.with(|state| {
            let finish = |state: &mut Commands| {
                regs.wait(|| {
                    self.update(regs, state);
                    state.current.is_none()
                })
                .is_ok()
            };
            let free = finish(state);
            // An earlier command may have been refused.
            state.refused = None;
            let mut invalidate = |what| {
                let Some(command) = RegisterCommand::new(what, self.drain) else {
                    return false;
                };
                trace_command(self.index, what);
                self.write(regs, state, command);
                finish(state) && state.refused.is_none()
            };
            free && everything.into_iter().all(&mut invalidate)
        })
    }
}
