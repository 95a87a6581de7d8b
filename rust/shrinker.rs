// SPDX-License-Identifier: GPL-2.0

//! A shrinker: releases memory when the kernel has little left.
//!
//! C header: `include/linux/shrinker.h`.

use crate::bindings;
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::sync::Arc;

/// Something that can release memory.
///
/// # Context
///
/// The kernel may be reclaiming memory for a caller that holds locks: neither may take a lock under
/// which memory is allocated, except by trying.
pub trait Shrink: Send + Sync + 'static {
    /// Returns how many pages could be released; 0 if that is not known.
    fn count(&self) -> usize;

    /// Releases all of them. Returns how many it were, or [`None`] if it were none, or if it cannot be
    /// done now.
    fn scan(&self) -> Option<usize>;
}

/// A registered shrinker.
///
/// # Invariants
///
/// `shrinker` was registered with `target` as its private data, and is not freed.
pub struct Shrinker<T: Shrink> {
    shrinker: NonNull<bindings::shrinker>,
    _target: Arc<T>,
}

// SAFETY: It is only freed, by whichever thread; the target is `Sync`.
unsafe impl<T: Shrink> Send for Shrinker<T> {}
// SAFETY: As above.
unsafe impl<T: Shrink> Sync for Shrinker<T> {}

impl<T: Shrink> Shrinker<T> {
    /// Registers a shrinker, whose `name` debugfs shows.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    ///
    /// # Context
    ///
    /// Process context.
    pub fn new(name: &'static CStr, target: Arc<T>) -> Result<Self> {
        // SAFETY: The format takes one string, which is terminated.
        let allocated =
            unsafe { bindings::shrinker_alloc(0, c"%s".as_char_ptr(), name.as_char_ptr()) };
        let shrinker = NonNull::new(allocated).ok_or(ENOMEM)?;
        // SAFETY: Just allocated, and not registered yet.
        unsafe {
            let fields = shrinker.as_ptr();
            (*fields).count_objects = Some(Self::count_objects);
            (*fields).scan_objects = Some(Self::scan_objects);
            // Each scan releases everything, so a single page to be scanned is enough for one.
            (*fields).batch = 1;
            (*fields).private_data = (&raw const *target).cast_mut().cast();
            bindings::shrinker_register(fields);
        }
        // INVARIANT: Registered with the target, which this value keeps.
        Ok(Shrinker {
            shrinker,
            _target: target,
        })
    }

    /// Implements `shrinker::count_objects`.
    ///
    /// # Safety
    ///
    /// Called by the kernel for a shrinker of [`Self::new`] that is not freed.
    unsafe extern "C" fn count_objects(
        shrinker: *mut bindings::shrinker,
        _: *mut bindings::shrink_control,
    ) -> usize {
        // SAFETY: The target lives until `drop` has waited for this.
        unsafe { &*(*shrinker).private_data.cast::<T>() }.count()
    }

    /// Implements `shrinker::scan_objects`.
    ///
    /// # Safety
    ///
    /// As for [`Self::count_objects`].
    unsafe extern "C" fn scan_objects(
        shrinker: *mut bindings::shrinker,
        _: *mut bindings::shrink_control,
    ) -> usize {
        // SAFETY: As in `count_objects`.
        let given = unsafe { &*(*shrinker).private_data.cast::<T>() }.scan();
        // SHRINK_STOP.
        given.unwrap_or(usize::MAX)
    }
}

impl<T: Shrink> Drop for Shrinker<T> {
    fn drop(&mut self) {
        // SAFETY: Registered by `new`, and freed once. It returns when no callback runs any more.
        unsafe { bindings::shrinker_free(self.shrinker.as_ptr()) }
    }
}
