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
//! The state is locked while registers are read or written. It is locked while hardware is waited for
//! only if the unit has failed.

use crate::progress_timeout::ProgressTimeout;
use crate::spec::command::{ContextCommand, IotlbCommand, RegisterCommand};
use crate::spec::invalidation::Invalidation;
use crate::spec::registers::{IotlbRegisters, Reg64, CCMD};
use crate::spec::scope::{ContextScope, Drain, IotlbScope};
use core::fmt;

/// A register that holds a command.
#[derive(Clone, Copy)]
pub enum CommandRegister {
    /// That of context commands.
    Context,
    /// That of IOTLB invalidations.
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

/// Why hardware did not confirm a command.
pub enum CommandFailure {
    /// A command did not complete.
    Busy(CommandRegister),
    /// A command completed without invalidating anything.
    Refused(CommandRegister),
    /// The registers have no command for it.
    NoCommand(Invalidation),
}

impl fmt::Display for CommandFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommandFailure::Busy(by) => write!(f, "its {} register stays busy", by.name()),
            CommandFailure::Refused(by) => {
                write!(f, "its {} register refused an invalidation", by.name())
            }
            CommandFailure::NoCommand(what) => {
                write!(f, "its registers have no command for \"{what}\"")
            }
        }
    }
}

/// The state of the registers, which their lock protects.
#[derive(Default)]
pub struct Commands {
    /// The number of commands written so far; wraps.
    begun: u32,
    /// The number of those that are complete.
    finished: u32,
    current: Option<CommandRegister>,
    /// The register that completed a command without invalidating anything.
    refused: Option<CommandRegister>,
}

/// The registers with which one unit's caches are invalidated: the required items are their lock and
/// the accesses.
pub trait CommandRegisters: Sized {
    /// All registers of the unit.
    type Registers;

    /// Calls `work` with the state locked.
    fn locked<R>(&self, work: impl FnOnce(&mut Commands) -> R) -> R;

    /// Returns the IOTLB registers.
    fn iotlb(&self) -> IotlbRegisters;

    /// Returns what a command drains.
    fn drain(&self) -> Drain;

    /// Reads a register.
    fn read(&self, regs: &Self::Registers, register: Reg64) -> u64;

    /// Writes a register.
    fn write(&self, regs: &Self::Registers, register: Reg64, value: u64);

    /// Returns the time, in nanoseconds.
    fn now_ns(&self) -> u64;

    /// Returns how long hardware may take, in nanoseconds.
    fn time_out_ns(&self, regs: &Self::Registers) -> u64;

    /// Polls `done` until it returns true or that time has passed. Returns whether it returned true.
    fn poll(&self, regs: &Self::Registers, done: impl FnMut() -> bool) -> bool;

    /// Traces a command that is about to be written.
    fn trace(&self, what: Invalidation);

    /// Pauses between two polls.
    fn relax(&self);

    /// Writes a command, if the registers are free and have one for `request`. Returns the number to
    /// wait for. `count` is called with the registers locked, once it is certain that the command
    /// will be written.
    ///
    /// # Context
    ///
    /// Any context.
    fn try_submit(
        &self,
        regs: &Self::Registers,
        request: Invalidation,
        count: impl FnOnce(),
    ) -> Option<u32> {
        let command = RegisterCommand::new(request, self.drain())?;
        self.locked(|state| {
            update(self, regs, state);
            if state.current.is_some() {
                return None;
            }
            count();
            self.trace(request);
            write(self, regs, state, command);
            Some(state.begun)
        })
    }

    /// Writes a command as soon as the registers are free. Returns the number to wait for; `count`
    /// is called as by [`Self::try_submit`].
    ///
    /// # Errors
    ///
    /// Those of [`Self::wait_for`], and [`CommandFailure::NoCommand`].
    ///
    /// # Context
    ///
    /// Any context.
    fn submit(
        &self,
        regs: &Self::Registers,
        request: Invalidation,
        count: impl Fn(),
    ) -> Result<u32, CommandFailure> {
        let command = RegisterCommand::new(request, self.drain())
            .ok_or(CommandFailure::NoCommand(request))?;
        let mut end = None;
        wait_until(self, regs, |state| {
            if state.current.is_none() {
                count();
                self.trace(request);
                write(self, regs, state, command);
                end = Some(state.begun);
            }
            end.is_some()
        })?;
        end.ok_or(CommandFailure::Busy(CommandRegister::Iotlb))
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
    fn wait_for(&self, regs: &Self::Registers, end: u32) -> Result<(), CommandFailure> {
        wait_until(self, regs, |state| {
            state.finished.wrapping_sub(end) as i32 >= 0
        })
    }

    /// Invalidates all caches of a unit that has failed, while its queue is off. Returns whether the
    /// unit confirmed it.
    ///
    /// # Context
    ///
    /// Any context.
    fn invalidate_all(&self, regs: &Self::Registers) -> bool {
        let everything = [
            Invalidation::Context(ContextScope::Global),
            Invalidation::Iotlb(IotlbScope::Global),
        ];
        self.locked(|state| {
            let finish = |state: &mut Commands| {
                self.poll(regs, || {
                    update(self, regs, state);
                    state.current.is_none()
                })
            };
            let free = finish(state);
            // An earlier command may have been refused.
            state.refused = None;
            let mut invalidate = |what| {
                let Some(command) = RegisterCommand::new(what, self.drain()) else {
                    return false;
                };
                self.trace(what);
                write(self, regs, state, command);
                finish(state) && state.refused.is_none()
            };
            free && everything.into_iter().all(&mut invalidate)
        })
    }
}

/// Waits until `done`, which is called with the registers locked. As long as the registers complete
/// commands of others, the wait is longer.
fn wait_until<C: CommandRegisters>(
    registers: &C,
    regs: &C::Registers,
    mut done: impl FnMut(&mut Commands) -> bool,
) -> Result<(), CommandFailure> {
    let mut timeout = None;
    let mut expired = false;
    loop {
        // Read first: if the machine was stopped past the deadline, the state is newer.
        let now = registers.now_ns();
        let checked = registers.locked(|state| {
            update(registers, regs, state);
            match (state.refused, state.current) {
                (Some(by), _) => Err(CommandFailure::Refused(by)),
                _ if done(state) => Ok(None),
                (None, by) => Ok(Some((state.finished, by))),
            }
        })?;
        let Some((finished, by)) = checked else {
            return Ok(());
        };
        if expired {
            return Err(CommandFailure::Busy(by.unwrap_or(CommandRegister::Iotlb)));
        }
        expired = timeout
            .get_or_insert(ProgressTimeout::start(now, finished))
            .has_expired(now, finished, registers.time_out_ns(regs));
        registers.relax();
    }
}

/// Notes whether the current command is complete. The registers are locked.
fn update<C: CommandRegisters>(registers: &C, regs: &C::Registers, state: &mut Commands) {
    let Some(register) = state.current else {
        return;
    };
    let (busy, done) = match register {
        CommandRegister::Context => {
            let raw = registers.read(regs, CCMD);
            let done = ContextCommand::actual_granularity(raw).is_some();
            (ContextCommand::is_busy(raw), done)
        }
        CommandRegister::Iotlb => {
            let raw = registers.read(regs, registers.iotlb().command);
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
fn write<C: CommandRegisters>(
    registers: &C,
    regs: &C::Registers,
    state: &mut Commands,
    command: RegisterCommand,
) {
    state.begun = state.begun.wrapping_add(1);
    state.current = Some(match command {
        RegisterCommand::Context(command) => {
            registers.write(regs, CCMD, command.raw());
            CommandRegister::Context
        }
        RegisterCommand::Iotlb(command) => {
            if let Some(address) = command.address() {
                registers.write(regs, registers.iotlb().address, address);
            }
            registers.write(regs, registers.iotlb().command, command.command());
            CommandRegister::Iotlb
        }
    });
}
