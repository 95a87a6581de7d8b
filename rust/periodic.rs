// SPDX-License-Identifier: GPL-2.0

//! Something that is done again and again, in process context.

use crate::bindings;
use core::mem::offset_of;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::types::Opaque;

/// What is done each time. May sleep.
pub trait Tick: Send + Sync + 'static {
    /// How long to wait in between, in milliseconds.
    const PERIOD_MS: u32;

    /// Does it. Not called while the system sleeps.
    fn tick(&self);
}

/// Does it until it is dropped.
///
/// # Invariants
///
/// `work` is queued, or [`Self::run`] is running, from [`Self::start`] on.
#[repr(C)]
#[pin_data(PinnedDrop)]
pub struct Periodic<T: Tick> {
    #[pin]
    work: Opaque<bindings::delayed_work>,
    target: Arc<T>,
}

// SAFETY: The work is only touched by the workqueue's own code, the target is `Sync`.
unsafe impl<T: Tick> Send for Periodic<T> {}
// SAFETY: As above.
unsafe impl<T: Tick> Sync for Periodic<T> {}

impl<T: Tick> Periodic<T> {
    /// Does it for the first time after one period. Process context.
    pub fn start(target: Arc<T>) -> impl PinInit<Self> {
        // The target is written before the work can run.
        pin_init!(Self {
            target,
            work <- Opaque::ffi_init(|slot: *mut bindings::delayed_work| {
                // SAFETY: `slot` is memory for the work, pinned by the caller until `drop`.
                unsafe {
                    bindings::vtd_helper_delayed_work_init(slot, Some(Self::run));
                    bindings::vtd_helper_delayed_work_queue(slot, T::PERIOD_MS);
                }
            }),
        })
    }

    /// # Safety
    ///
    /// For the workqueue only, which passes the work of a value of this type.
    unsafe extern "C" fn run(work: *mut bindings::work_struct) {
        // SAFETY: `work` is the first field of a delayed work, and that of a value of this type,
        // which waits in `drop` until this has returned.
        unsafe {
            let delayed = work
                .byte_sub(offset_of!(bindings::delayed_work, work))
                .cast::<bindings::delayed_work>();
            (*delayed.cast::<Self>()).target.tick();
            bindings::vtd_helper_delayed_work_queue(delayed, T::PERIOD_MS);
        }
    }
}

#[pinned_drop]
impl<T: Tick> PinnedDrop for Periodic<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Initialised by `start`. It returns once the work neither runs nor is queued,
        // although the work queues itself.
        unsafe { bindings::cancel_delayed_work_sync(self.work.get()) };
    }
}
