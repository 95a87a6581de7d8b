// SPDX-License-Identifier: GPL-2.0

//! The registers of register-based invalidation and their lock
//! ([`vtd_core::concurrent::register_commands`]).

use super::trace::trace_command;
use crate::unit::registers::UnitRegisters;
use kernel::prelude::*;
use kernel_ext::clock;
use kernel_ext::lock::IrqSpinLock;
use vtd_core::concurrent::register_commands::{CommandRegisters, Commands};
use vtd_core::spec::invalidation::Invalidation;
use vtd_core::spec::registers::{IotlbRegisters, Reg64};
use vtd_core::spec::scope::Drain;

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
        let none = Commands::default();
        pin_init!(Self {
            index,
            iotlb,
            drain,
            state <- kernel_ext::new_irq_spinlock!(none, c"vtd register invalidation"),
        })
    }
}

impl CommandRegisters for RegisterInvalidator {
    type Registers = UnitRegisters;

    #[inline]
    fn locked<R>(&self, work: impl FnOnce(&mut Commands) -> R) -> R {
        self.state.with(work)
    }

    #[inline]
    fn iotlb(&self) -> IotlbRegisters {
        self.iotlb
    }

    #[inline]
    fn drain(&self) -> Drain {
        self.drain
    }

    #[inline]
    fn read(&self, regs: &UnitRegisters, register: Reg64) -> u64 {
        regs.read64(register)
    }

    #[inline]
    fn write(&self, regs: &UnitRegisters, register: Reg64, value: u64) {
        regs.write64(register, value)
    }

    #[inline]
    fn now_ns(&self) -> u64 {
        clock::now_ns()
    }

    #[inline]
    fn time_out_ns(&self, regs: &UnitRegisters) -> u64 {
        regs.time_out_ms().saturating_mul(1_000_000)
    }

    #[inline]
    fn poll(&self, regs: &UnitRegisters, done: impl FnMut() -> bool) -> bool {
        regs.wait(done).is_ok()
    }

    #[inline]
    fn trace(&self, what: Invalidation) {
        trace_command(self.index, what)
    }

    #[inline]
    fn relax(&self) {
        clock::cpu_relax()
    }
}
