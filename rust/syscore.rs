// SPDX-License-Identifier: GPL-2.0

//! The last callbacks before a suspend, a shutdown or a kexec, and the first ones at a resume.

use crate::bindings;
use core::ffi::c_void;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::types::Opaque;

/// Callbacks that run while all devices are suspended or shut down.
pub trait SyscoreOps: Send + Sync + 'static {
    /// Handles the end of a shutdown, reboot or kexec, after all devices were shut down.
    fn shutdown(&self);
    /// Handles the end of a suspend.
    ///
    /// # Errors
    ///
    /// Any; it aborts the suspend.
    ///
    /// # Context
    ///
    /// One CPU, interrupts off: must not sleep.
    fn suspend(&self) -> Result;
    /// Handles the beginning of a resume.
    ///
    /// # Context
    ///
    /// One CPU, interrupts off: must not sleep.
    fn resume(&self);
}

/// A registration of a [`SyscoreOps`]; ends when dropped.
///
/// # Invariants
///
/// `entry` is on the core's list, and its `data` is a reference that `target` holds.
#[pin_data(PinnedDrop)]
pub struct Registration<T: SyscoreOps> {
    #[pin]
    entry: Opaque<bindings::syscore>,
    target: Arc<T>,
}

// SAFETY: The entry is only touched at registration and removal, the target is `Sync`.
unsafe impl<T: SyscoreOps> Send for Registration<T> {}
// SAFETY: As above.
unsafe impl<T: SyscoreOps> Sync for Registration<T> {}

impl<T: SyscoreOps> Registration<T> {
    const OPS: bindings::syscore_ops = bindings::syscore_ops {
        suspend: Some(Self::suspend),
        resume: Some(Self::resume),
        shutdown: Some(Self::shutdown),
    };

    /// Registers `target`.
    pub fn new(target: Arc<T>) -> impl PinInit<Self> {
        let data = Arc::as_ptr(&target).cast_mut().cast::<c_void>();
        pin_init!(Self {
            entry <- Opaque::ffi_init(|slot: *mut bindings::syscore| {
                // SAFETY: `slot` is memory for the entry, pinned by the caller until `drop`.
                unsafe {
                    slot.write(bindings::syscore {
                        node: bindings::list_head::default(),
                        ops: &Self::OPS,
                        data,
                    });
                    bindings::register_syscore(slot);
                }
            }),
            target,
        })
    }

    /// Implements `syscore_ops::suspend`.
    ///
    /// # Safety
    ///
    /// Called by the system core with the `data` of a live registration, on one CPU with interrupts
    /// off.
    unsafe extern "C" fn suspend(data: *mut c_void) -> i32 {
        // SAFETY: By the type's invariants `data` is the target, alive while registered.
        match unsafe { &*data.cast::<T>() }.suspend() {
            Ok(()) => 0,
            Err(e) => e.to_errno(),
        }
    }

    /// Implements `syscore_ops::resume`.
    ///
    /// # Safety
    ///
    /// As for [`Self::suspend`].
    unsafe extern "C" fn resume(data: *mut c_void) {
        // SAFETY: By the type's invariants `data` is the target, alive while registered.
        unsafe { &*data.cast::<T>() }.resume()
    }

    /// Implements `syscore_ops::shutdown`.
    ///
    /// # Safety
    ///
    /// Called by the system core with the `data` of a live registration, after all devices were
    /// shut down.
    unsafe extern "C" fn shutdown(data: *mut c_void) {
        // SAFETY: By the type's invariants `data` is the target, alive while registered.
        unsafe { &*data.cast::<T>() }.shutdown()
    }
}

#[pinned_drop]
impl<T: SyscoreOps> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: On the list by the type's invariants.
        unsafe { bindings::unregister_syscore(self.entry.get()) }
    }
}
