// SPDX-License-Identifier: GPL-2.0

//! A value that is set later than its owner is created, at no cost for its readers.
//!
//! Until it is set, readers get a static in its place. So they load one pointer, as for a box, and
//! need no comparison.

use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};
use kernel::prelude::*;

/// A value that can be set once.
///
/// # Invariants
///
/// `now` is `before`, or came from [`KBox::into_raw`] and is freed in `drop` only.
pub struct LateInit<T: Send + Sync + 'static> {
    now: AtomicPtr<T>,
    before: &'static T,
}

impl<T: Send + Sync + 'static> LateInit<T> {
    /// Creates one that returns `before` until a value is set.
    pub const fn new(before: &'static T) -> Self {
        // INVARIANT: It is `before`.
        LateInit {
            now: AtomicPtr::new(ptr::from_ref(before).cast_mut()),
            before,
        }
    }

    /// Returns the value, or `before` if none was set.
    ///
    /// # Context
    ///
    /// Any context.
    #[inline(always)]
    pub fn get(&self) -> &T {
        // SAFETY: By the type's invariants there is always a `T` that lives as long as `self`. The
        // pointer is read as C's READ_ONCE() reads it: dependent accesses are ordered after it in
        // the kernel's memory model. (An atomic load would be a separate instruction; this load
        // becomes the operand of another one.)
        unsafe { &*self.now.as_ptr().read_volatile() }
    }

    /// Returns the value, if one was set.
    ///
    /// # Context
    ///
    /// Any context.
    pub fn value(&self) -> Option<&T> {
        let now = self.get();
        (!ptr::eq(now, self.before)).then_some(now)
    }

    /// Sets the value. If one was set before, the new one is dropped.
    pub fn set(&self, value: KBox<T>) {
        let value = KBox::into_raw(value);
        let before = ptr::from_ref(self.before).cast_mut();
        let set = self
            .now
            .compare_exchange(before, value, Ordering::AcqRel, Ordering::Relaxed);
        // INVARIANT: What is there now came from `into_raw`, and nothing replaces it.
        if set.is_err() {
            // SAFETY: Came from `into_raw`, and was never visible to another thread.
            drop(unsafe { KBox::from_raw(value) });
        }
    }
}

impl<T: Send + Sync + 'static> Drop for LateInit<T> {
    fn drop(&mut self) {
        if self.value().is_some() {
            // SAFETY: By the type's invariants it came from `into_raw`; `self` is not borrowed, so
            // neither is the value.
            drop(unsafe { KBox::from_raw(*self.now.get_mut()) });
        }
    }
}
