// SPDX-License-Identifier: GPL-2.0

//! Being told that a PCI device is about to get a driver.

use crate::bindings;
use core::ffi::c_void;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::types::Opaque;

/// What runs before the probe function of a driver of a PCI device.
pub trait DriverGate: Send + Sync + 'static {
    /// The driver is chosen, its probe function has not been called. Process context; may wait, and
    /// the driver waits with it.
    fn before_bind(&self);
}

/// A registration of a [`DriverGate`]; ends when dropped.
///
/// # Invariants
///
/// `entry` is on the PCI bus's notifier chain; `target` is alive while it is.
#[repr(C)]
#[pin_data(PinnedDrop)]
pub struct Registration<T: DriverGate> {
    #[pin]
    entry: Opaque<bindings::notifier_block>,
    target: Arc<T>,
}

// SAFETY: The entry is only touched by the chain's own code, the target is `Sync`.
unsafe impl<T: DriverGate> Send for Registration<T> {}
// SAFETY: As above.
unsafe impl<T: DriverGate> Sync for Registration<T> {}

impl<T: DriverGate> Registration<T> {
    /// Registers `target`. Process context.
    pub fn new(target: Arc<T>) -> impl PinInit<Self> {
        // The target is written before the entry can be called.
        pin_init!(Self {
            target,
            entry <- Opaque::ffi_init(|slot: *mut bindings::notifier_block| {
                // SAFETY: `slot` is memory for the entry, pinned by the caller until `drop`, and
                // the bus exists.
                unsafe {
                    slot.write(bindings::notifier_block {
                        notifier_call: Some(Self::call),
                        ..Default::default()
                    });
                    bindings::bus_register_notifier(&raw const bindings::pci_bus_type, slot);
                }
            }),
        })
    }

    /// # Safety
    ///
    /// For the kernel only, which passes an entry of this type.
    unsafe extern "C" fn call(
        entry: *mut bindings::notifier_block,
        action: usize,
        _device: *mut c_void,
    ) -> i32 {
        if action == bindings::bus_notifier_event_BUS_NOTIFY_BIND_DRIVER as usize {
            // SAFETY: `entry` is the first field of a registration, which outlives the call.
            unsafe { &*entry.cast::<Self>() }.target.before_bind();
        }
        bindings::NOTIFY_DONE as i32
    }
}

#[pinned_drop]
impl<T: DriverGate> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: On the chain by the type's invariants; removal waits for running calls.
        unsafe {
            bindings::bus_unregister_notifier(&raw const bindings::pci_bus_type, self.entry.get());
        }
    }
}
