// SPDX-License-Identifier: GPL-2.0

//! A value that is set later than its owner is created, at no cost for its readers.
//!
//! Until it is set, readers get a static in its place. So they load one pointer, as for a box, and
//! need no comparison.

use core::marker::PhantomData;
use core::pin::Pin;
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

/// A value that can be set once, and that is absent until then.
///
/// # Invariants
///
/// `now` is null, or came from [`KBox::into_raw`] and is freed in `drop` only.
pub struct LateBox<T: Send + Sync>(AtomicPtr<T>, PhantomData<T>);

impl<T: Send + Sync> LateBox<T> {
    /// Creates one without a value.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        // INVARIANT: It is null.
        LateBox(AtomicPtr::new(ptr::null_mut()), PhantomData)
    }

    /// Returns the value, if one was set.
    ///
    /// # Context
    ///
    /// Any context.
    #[inline(always)]
    pub fn value(&self) -> Option<&T> {
        // SAFETY: By the type's invariants it is null, or a `T` that lives as long as `self`. What
        // is read through the pointer was written before it was stored, see `set`.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }

    /// Sets the value, if none was set before. Otherwise `value` is dropped.
    ///
    /// # Context
    ///
    /// Any context in which memory can be freed.
    pub fn set(&self, value: Pin<KBox<T>>) {
        // SAFETY: It is not moved, neither through the pointer nor in `drop`.
        let value = KBox::into_raw(unsafe { Pin::into_inner_unchecked(value) });
        let set =
            self.0
                .compare_exchange(ptr::null_mut(), value, Ordering::AcqRel, Ordering::Relaxed);
        // INVARIANT: What is there now came from `into_raw`, and nothing replaces it.
        if set.is_err() {
            // SAFETY: Came from `into_raw`, and was never visible to another thread.
            drop(unsafe { KBox::from_raw(value) });
        }
    }
}

impl<T: Send + Sync> Drop for LateBox<T> {
    fn drop(&mut self) {
        let value = *self.0.get_mut();
        if !value.is_null() {
            // SAFETY: By the type's invariants it came from `into_raw`; `self` is not borrowed, so
            // neither is the value.
            drop(unsafe { KBox::from_raw(value) });
        }
    }
}
