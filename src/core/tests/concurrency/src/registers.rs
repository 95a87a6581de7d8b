// SPDX-License-Identifier: GPL-2.0

//! Register-based invalidation with two threads and hardware.

use crate::concurrent::register_commands;
use crate::shim::{clock, lock, registers::UnitRegisters};
use loom::sync::atomic::Ordering;
use std::rc::Rc;
use std::sync::Arc;
use vtd_core::spec::address::DomainId;
use vtd_core::spec::capability::ExtendedCapability;
use vtd_core::spec::invalidation::Invalidation;
use vtd_core::spec::registers::{iotlb, IotlbRegisters, Reg64};
use vtd_core::spec::scope::{Drain, IotlbScope};

/// The registers, with the state `S` that the protocol has for them.
struct Invalidator<S>(lock::IrqSpinLock<S>);

/// Uses each protocol with [`Invalidator`].
macro_rules! invalidators {
    ($($module:ident)+) => {$(
        impl $module::CommandRegisters for Invalidator<$module::Commands> {
            type Registers = UnitRegisters;

            fn locked<R>(&self, work: impl FnOnce(&mut $module::Commands) -> R) -> R {
                self.0.with(work)
            }

            fn iotlb(&self) -> IotlbRegisters {
                iotlb(ExtendedCapability::from_raw(0))
            }

            fn drain(&self) -> Drain {
                Drain::NONE
            }

            fn read(&self, regs: &UnitRegisters, register: Reg64) -> u64 {
                regs.read64(register)
            }

            fn write(&self, regs: &UnitRegisters, register: Reg64, value: u64) {
                regs.write64(register, value)
            }

            fn now_ns(&self) -> u64 {
                0
            }

            fn time_out_ns(&self, _: &UnitRegisters) -> u64 {
                1
            }

            fn poll(&self, _: &UnitRegisters, _: impl FnMut() -> bool) -> bool {
                unreachable!("no unit fails")
            }

            fn trace(&self, _: Invalidation) {}

            fn relax(&self) {
                clock::cpu_relax()
            }
        }
    )+};
}

mistakes! { register_commands_written_over register_commands_no_wait
register_commands_finished_when_written register_commands_refusal_ignored }

invalidators! { register_commands register_commands_written_over register_commands_no_wait
register_commands_finished_when_written register_commands_refusal_ignored }

fn invalidate_domain(id: u16) -> Invalidation {
    Invalidation::Iotlb(IotlbScope::Domain(DomainId::new(id)))
}

/// Completes the command in the register, if there is one, or refuses it.
fn complete(regs: &UnitRegisters, refuse: bool) {
    let mut command = regs.command_register.lock().unwrap();
    if *command >> 63 == 1 {
        let id = *command >> 32 & 0xffff;
        regs.done.fetch_or(1 << id, Ordering::Relaxed);
        // Not busy; IAIG says that a domain was invalidated, or nothing.
        *command = if refuse { 0 } else { 2 << 57 };
    }
}

macro_rules! new_registers {
    ($module:ident) => {
        Invalidator(lock::new($module::Commands::default(), c"registers"))
    };
}

/// Hardware completes a command when a thread waits.
macro_rules! confirmed {
    ($module:ident) => {
        crate::check(|| {
            use $module::CommandRegisters;
            let regs = Arc::new(UnitRegisters::new(|_: &UnitRegisters| ()));
            let registers = Arc::new(new_registers!($module));
            let other = regs.clone();
            clock::while_waiting(Some(Rc::new(move || complete(&other, false))));
            let submit = |id: u16, waits: bool| {
                let (regs, registers) = (regs.clone(), registers.clone());
                move || {
                    let request = invalidate_domain(id);
                    // A flush of several units submits only if the registers are free.
                    let end = match registers.try_submit(&regs, request, || ()) {
                        Some(end) => end,
                        None => registers.submit(&regs, request, || ()).ok().unwrap(),
                    };
                    if waits {
                        assert!(registers.wait_for(&regs, end).is_ok());
                        let done = regs.done.load(Ordering::Relaxed);
                        assert_ne!(done & 1 << id, 0, "not yet done");
                    }
                }
            };
            // A thread that has written a command and does not run keeps no other from waiting.
            let other = loom::thread::spawn(submit(3, false));
            submit(2, true)();
            other.join().unwrap();
            clock::while_waiting(None);
        })
    };
}

macro_rules! refused {
    ($module:ident) => {
        crate::check(|| {
            use $module::CommandRegisters;
            let regs = UnitRegisters::new(|_: &UnitRegisters| ());
            let registers = new_registers!($module);
            let request = invalidate_domain(2);
            let end = registers.try_submit(&regs, request, || ()).unwrap();
            complete(&regs, true);
            let waited = registers.wait_for(&regs, end);
            assert!(waited.is_err(), "a refused command is confirmed");
        })
    };
}

laws! {
    a_wait_returns_after_its_invalidation: register_commands, confirmed;
    a_command_written_over_another_is_noticed: register_commands_written_over, "written over another";
    a_missing_wait_is_noticed: register_commands_no_wait, "not yet done";
    a_command_that_is_finished_when_written_is_noticed: register_commands_finished_when_written, "not yet done";
}

laws! {
    a_refused_command_is_an_error: register_commands, refused;
    a_refusal_that_is_ignored_is_noticed: register_commands_refusal_ignored, "a refused command is confirmed";
}
