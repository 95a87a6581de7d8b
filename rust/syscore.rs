// SPDX-License-Identifier: GPL-2.0

//! The last callbacks before the machine stops or another kernel starts.

use crate::bindings;
use core::ffi::c_void;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::types::Opaque;

/// What runs at the end of a shutdown, reboot or kexec, after all devices were shut down.
pub trait Shutdown: Send + Sync + 'static {
    /// One CPU, interrupts off: must not sleep.
    fn shutdown(&self);
}

/// A registration of a [`Shutdown`]; ends when dropped.
///
/// # Invariants
///
/// `entry` is on the core's list, and its `data` is a reference that `target` holds.
#[pin_data(PinnedDrop)]
pub struct Registration<T: Shutdown> {
    #[pin]
    entry: Opaque<bindings::syscore>,
    target: Arc<T>,
}

// SAFETY: The entry is only touched at registration and removal, the target is `Sync`.
unsafe impl<T: Shutdown> Send for Registration<T> {}
// SAFETY: As above.
unsafe impl<T: Shutdown> Sync for Registration<T> {}

impl<T: Shutdown> Registration<T> {
    const OPS: bindings::syscore_ops = bindings::syscore_ops {
        suspend: None,
        resume: None,
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

    /// # Safety
    ///
    /// For the kernel only, which calls it through the table that it stands in.
    unsafe extern "C" fn shutdown(data: *mut c_void) {
        // SAFETY: By the type's invariants `data` is the target, alive while registered.
        unsafe { &*data.cast::<T>() }.shutdown()
    }
}

#[pinned_drop]
impl<T: Shutdown> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: On the list by the type's invariants.
        unsafe { bindings::unregister_syscore(self.entry.get()) }
    }
}
