// SPDX-License-Identifier: GPL-2.0

//! A spin lock that disables interrupts.
//!
//! The DMA API maps and unmaps in interrupt handlers, so a lock in its path must be taken with
//! interrupts off everywhere. The kernel crate does not have such a lock in all supported versions
//! (`SpinLockIrq` begins with 7.3); its [`Backend`] trait lets us add one.
//!
//! There is no guard. If two guards were dropped in the order in which they were created,
//! interrupts would be enabled with the second lock held, and then stay off for good. With
//! closures, the inner section always ends before the outer one.
//!
//! It is a raw spin lock, because the last steps of a suspend and the first steps of a resume take
//! it with interrupts off on every kernel, and on PREEMPT_RT an ordinary spin lock may sleep. So no
//! such section may take an ordinary spin lock, and thus not allocate or free memory.
//!
//! C header: `include/linux/spinlock.h`.

use crate::bindings;
use core::sync::atomic::{compiler_fence, Ordering};
use kernel::prelude::*;
use kernel::sync::lock::{Backend, Lock};
use kernel::sync::LockClassKey;

/// A spin lock taken with local interrupts disabled.
///
/// # Context
///
/// Any context but NMI.
#[pin_data]
pub struct IrqSpinLock<T> {
    #[pin]
    lock: Lock<T, IrqSave>,
}

impl<T: Unpin> IrqSpinLock<T> {
    /// Makes an initialiser; see [`new_irq_spinlock`](crate::new_irq_spinlock).
    pub fn new(
        inner: impl PinInit<T>,
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            lock <- Lock::new(inner, name, key),
        })
    }

    /// Calls `f` with the lock held and interrupts off. `f` must not sleep, nor allocate or free
    /// memory.
    #[inline(always)]
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.lock.lock())
    }
}

/// Orders everything before the lock was taken before everything after this call, as
/// `smp_mb__after_spinlock()` does. To be called first in a section.
#[inline(always)]
pub fn full_barrier_after_lock() {
    // On x86 taking a lock is a full barrier, so this is for the compiler only.
    compiler_fence(Ordering::SeqCst);
}

/// Returns whether interrupts are off on this processor.
pub fn interrupts_are_off() -> bool {
    // SAFETY: Has no preconditions.
    unsafe { bindings::vtd_helper_irqs_disabled() }
}

/// `raw_spin_lock_irqsave` and `raw_spin_unlock_irqrestore`.
struct IrqSave;

// SAFETY: `raw_spin_lock_irqsave` excludes every other holder of the same lock until the matching
// `raw_spin_unlock_irqrestore`, and a spin lock may be relocked after it was unlocked.
unsafe impl Backend for IrqSave {
    type State = bindings::raw_spinlock_t;
    type GuardState = usize;

    unsafe fn init(
        ptr: *mut Self::State,
        name: *const kernel::ffi::c_char,
        key: *mut bindings::lock_class_key,
    ) {
        // SAFETY: The caller passes memory for a spin lock and a name and key that live as long.
        unsafe { bindings::vtd_helper_raw_spin_lock_init(ptr, name, key) }
    }

    #[inline]
    unsafe fn lock(ptr: *mut Self::State) -> Self::GuardState {
        // SAFETY: The caller passes an initialised spin lock.
        unsafe { bindings::vtd_helper_raw_spin_lock_irqsave(ptr) }
    }

    unsafe fn try_lock(ptr: *mut Self::State) -> Option<Self::GuardState> {
        let mut flags = 0;
        // SAFETY: The caller passes an initialised spin lock.
        let taken = unsafe { bindings::vtd_helper_raw_spin_trylock_irqsave(ptr, &mut flags) };
        taken.then_some(flags)
    }

    #[inline]
    unsafe fn unlock(ptr: *mut Self::State, flags: &Self::GuardState) {
        // SAFETY: The caller holds the lock and passes the flags which taking it returned.
        unsafe { bindings::vtd_helper_raw_spin_unlock_irqrestore(ptr, *flags) }
    }

    #[inline]
    unsafe fn assert_is_held(ptr: *mut Self::State) {
        // Compiled out without lockdep.
        if cfg!(CONFIG_LOCKDEP) {
            // SAFETY: The caller passes an initialised spin lock.
            unsafe { bindings::vtd_helper_raw_spin_assert_is_held(ptr) }
        }
    }
}

/// Makes an initialiser of an [`IrqSpinLock`] with a separate lock class.
#[macro_export]
macro_rules! new_irq_spinlock {
    ($inner:expr, $name:literal) => {
        $crate::lock::IrqSpinLock::new($inner, $name, ::kernel::static_lock_class!())
    };
}
