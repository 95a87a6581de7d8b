// SPDX-License-Identifier: GPL-2.0

//! Work that is repeated periodically, in process context.

use crate::bindings;
use core::mem::offset_of;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::types::Opaque;

/// Work that is done each time.
///
/// # Context
///
/// May sleep.
pub trait PeriodicWork: Send + Sync + 'static {
    /// The time between the end of one run and the next, in milliseconds.
    const PERIOD_MS: u32;

    /// Does the work. Not called while the system is suspended.
    fn run(&self);
}

/// Repeats the work until it is dropped.
///
/// # Invariants
///
/// `work` is queued, or [`Self::work_fn`] is running, from [`Self::start`] on.
#[repr(C)]
#[pin_data(PinnedDrop)]
pub struct Periodic<T: PeriodicWork> {
    #[pin]
    work: Opaque<bindings::delayed_work>,
    target: Arc<T>,
}

// SAFETY: The work is only touched by the workqueue's own code, the target is `Sync`.
unsafe impl<T: PeriodicWork> Send for Periodic<T> {}
// SAFETY: As above.
unsafe impl<T: PeriodicWork> Sync for Periodic<T> {}

impl<T: PeriodicWork> Periodic<T> {
    /// Queues the work for the first time, after one period.
    ///
    /// # Context
    ///
    /// Process context.
    pub fn start(target: Arc<T>) -> impl PinInit<Self> {
        // The target is written before the work can run.
        pin_init!(Self {
            target,
            work <- Opaque::ffi_init(|slot: *mut bindings::delayed_work| {
                // SAFETY: `slot` is memory for the work, pinned by the caller until `drop`.
                unsafe {
                    bindings::vtd_helper_delayed_work_init(slot, Some(Self::work_fn));
                    bindings::vtd_helper_delayed_work_queue(slot, T::PERIOD_MS);
                }
            }),
        })
    }

    /// Implements `work_func_t`.
    ///
    /// # Safety
    ///
    /// Called by the workqueue with the work of a live value of this type, not concurrently with
    /// itself.
    unsafe extern "C" fn work_fn(work: *mut bindings::work_struct) {
        // SAFETY: `work` is the first field of a delayed work, and that of a value of this type,
        // which waits in `drop` until this has returned.
        unsafe {
            let delayed = work
                .byte_sub(offset_of!(bindings::delayed_work, work))
                .cast::<bindings::delayed_work>();
            (*delayed.cast::<Self>()).target.run();
            bindings::vtd_helper_delayed_work_queue(delayed, T::PERIOD_MS);
        }
    }
}

#[pinned_drop]
impl<T: PeriodicWork> PinnedDrop for Periodic<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Initialised by `start`. It returns once the work neither runs nor is queued,
        // although the work queues itself.
        unsafe { bindings::cancel_delayed_work_sync(self.work.get()) };
    }
}
