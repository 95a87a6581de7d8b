// SPDX-License-Identifier: GPL-2.0

//! The registers of an invalidation queue and of register-based invalidation.

use loom::sync::atomic::{AtomicU64, Ordering};
use vtd_core::spec::registers::{Reg64, IQA, IQT};

/// The two registers of a queue, and one that holds a command.
pub(crate) struct UnitRegisters {
    pub(crate) tail: AtomicU64,
    pub(crate) address: AtomicU64,
    /// The action of hardware when the tail moves.
    pub(crate) on_tail: fn(&UnitRegisters),
    pub(crate) fetched: loom::sync::Mutex<u64>,
    /// A bit for each domain that was invalidated.
    pub(crate) done: AtomicU64,
    pub(crate) command_register: loom::sync::Mutex<u64>,
}

impl UnitRegisters {
    pub(crate) fn new(on_tail: fn(&UnitRegisters)) -> Self {
        Self {
            tail: AtomicU64::new(0),
            address: AtomicU64::new(0),
            on_tail,
            fetched: loom::sync::Mutex::new(0),
            done: AtomicU64::new(0),
            command_register: loom::sync::Mutex::new(0),
        }
    }

    pub(crate) fn write64(&self, register: Reg64, value: u64) {
        match register.offset() {
            at if at == IQT.offset() => {
                self.tail.store(value, Ordering::Release);
                (self.on_tail)(self);
            }
            at if at == IQA.offset() => self.address.store(value, Ordering::Release),
            _ => {
                let mut command = self.command_register.lock().unwrap();
                assert_eq!(*command >> 63, 0, "written over another command");
                *command = value;
            }
        }
    }

    pub(crate) fn read64(&self, _: Reg64) -> u64 {
        *self.command_register.lock().unwrap()
    }
}
