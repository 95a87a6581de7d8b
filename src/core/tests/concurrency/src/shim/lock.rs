// SPDX-License-Identifier: GPL-2.0

//! The spin lock that disables interrupts: a model has no interrupts.

use loom::sync::atomic::{fence, Ordering};
use loom::sync::Mutex;

pub(crate) struct IrqSpinLock<T>(Mutex<T>);

pub(crate) fn new<T>(value: T, _: &core::ffi::CStr) -> IrqSpinLock<T> {
    IrqSpinLock(Mutex::new(value))
}

/// On x86 taking a lock is a full barrier.
pub(crate) fn full_barrier_after_lock() {
    fence(Ordering::SeqCst);
}

pub(crate) fn interrupts_are_off() -> bool {
    false
}

impl<T> IrqSpinLock<T> {
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        super::steps::step();
        f(&mut self.0.lock().unwrap())
    }
}
