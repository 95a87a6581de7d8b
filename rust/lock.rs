// SPDX-License-Identifier: GPL-2.0

//! A spin lock that also keeps interrupts out.
//!
//! The DMA API maps and unmaps in interrupt handlers, so whatever it takes must be taken with
//! interrupts off everywhere. The kernel crate has no such lock in all supported versions; its
//! [`Backend`] trait lets us add one.

use crate::bindings;
use kernel::sync::lock::{Backend, Guard, Lock};

/// Backend of [`IrqSpinLock`]: `spin_lock_irqsave` and `spin_unlock_irqrestore`.
pub struct IrqSave;

/// A spin lock taken with local interrupts disabled. Any context but NMI.
pub type IrqSpinLock<T> = Lock<T, IrqSave>;

/// Guard of an [`IrqSpinLock`].
pub type IrqSpinLockGuard<'a, T> = Guard<'a, T, IrqSave>;

// SAFETY: `spin_lock_irqsave` excludes every other holder of the same lock until the matching
// `spin_unlock_irqrestore`, and a spin lock may be relocked after it was unlocked.
unsafe impl Backend for IrqSave {
    type State = bindings::spinlock_t;
    type GuardState = usize;

    unsafe fn init(
        ptr: *mut Self::State,
        name: *const kernel::ffi::c_char,
        key: *mut bindings::lock_class_key,
    ) {
        // SAFETY: The caller passes memory for a spin lock and a name and key that live as long.
        unsafe { bindings::vtd_helper_spin_lock_init(ptr, name, key) }
    }

    #[inline]
    unsafe fn lock(ptr: *mut Self::State) -> Self::GuardState {
        // SAFETY: The caller passes an initialised spin lock.
        unsafe { bindings::vtd_helper_spin_lock_irqsave(ptr) }
    }

    unsafe fn try_lock(_ptr: *mut Self::State) -> Option<Self::GuardState> {
        // Nobody here tries; a lock that never succeeds at trying is still a correct lock.
        None
    }

    #[inline]
    unsafe fn unlock(ptr: *mut Self::State, flags: &Self::GuardState) {
        // SAFETY: The caller holds the lock and passes the flags which taking it returned.
        unsafe { bindings::vtd_helper_spin_unlock_irqrestore(ptr, *flags) }
    }

    #[inline]
    unsafe fn assert_is_held(ptr: *mut Self::State) {
        // Not even a call where nobody could tell.
        if cfg!(CONFIG_LOCKDEP) {
            // SAFETY: The caller passes an initialised spin lock.
            unsafe { bindings::vtd_helper_spin_assert_is_held(ptr) }
        }
    }
}

/// Makes an initialiser of an [`IrqSpinLock`] with a lock class of its own.
#[macro_export]
macro_rules! new_irq_spinlock {
    ($inner:expr, $name:literal) => {
        $crate::lock::IrqSpinLock::new($inner, $name, ::kernel::static_lock_class!())
    };
}
