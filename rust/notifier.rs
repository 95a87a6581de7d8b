// SPDX-License-Identifier: GPL-2.0

//! Notifications of the PCI bus: a device was added, a driver is about to be bound to it, or it was
//! removed.

use crate::bindings;
use crate::device::Device;
use crate::pci::PciDevice;
use core::ffi::c_void;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::types::Opaque;

/// Callbacks that run before the other notifiers of the PCI bus.
///
/// # Context
///
/// Process context.
pub trait BusNotifier: Send + Sync + 'static {
    /// Handles a device that has just been added; the IOMMU core has not seen it yet.
    fn device_added(&self, device: &PciDevice);

    /// Handles a device that is about to be bound: a driver is chosen, its probe function has not
    /// been called. May wait, and the driver waits with it.
    fn before_bind(&self, device: &PciDevice);

    /// Handles a device that has been removed.
    fn device_removed(&self, device: &PciDevice);
}

/// A registration of a [`BusNotifier`]; ends when dropped.
///
/// # Invariants
///
/// `entry` is on the PCI bus's notifier chain; `target` is alive while it is.
#[repr(C)]
#[pin_data(PinnedDrop)]
pub struct Registration<T: BusNotifier> {
    #[pin]
    entry: Opaque<bindings::notifier_block>,
    target: Arc<T>,
}

// SAFETY: The entry is only touched by the chain's own code, the target is `Sync`.
unsafe impl<T: BusNotifier> Send for Registration<T> {}
// SAFETY: As above.
unsafe impl<T: BusNotifier> Sync for Registration<T> {}

impl<T: BusNotifier> Registration<T> {
    /// Registers `target`.
    ///
    /// # Errors
    ///
    /// That of the bus.
    ///
    /// # Context
    ///
    /// Process context.
    pub fn new(target: Arc<T>) -> impl PinInit<Self, Error> {
        // The target is written before the entry can be called.
        try_pin_init!(Self {
            target,
            entry <- Opaque::try_ffi_init(|slot: *mut bindings::notifier_block| {
                // SAFETY: `slot` is memory for the entry, pinned by the caller until `drop`, and
                // the bus exists.
                unsafe {
                    slot.write(bindings::notifier_block {
                        notifier_call: Some(Self::call),
                        // Before the IOMMU core, which has 0.
                        priority: i32::MAX,
                        ..Default::default()
                    });
                    let bus = &raw const bindings::pci_bus_type;
                    to_result(bindings::bus_register_notifier(bus, slot))
                }
            }),
        }? Error)
    }

    /// Implements `notifier_block::notifier_call`.
    ///
    /// # Safety
    ///
    /// Called by the notifier chain of the PCI bus with the entry of a live registration of this
    /// type and a live device; in process context.
    unsafe extern "C" fn call(
        entry: *mut bindings::notifier_block,
        action: usize,
        device: *mut c_void,
    ) -> i32 {
        // SAFETY: `entry` is the first field of a registration, which outlives the call; the chain
        // is that of the PCI bus, which passes its devices.
        let (target, device) = unsafe {
            let target = &(*entry.cast::<Self>()).target;
            (target, PciDevice::try_from(Device::from_raw(device.cast())))
        };
        match (action as u32, device) {
            (bindings::bus_notifier_event_BUS_NOTIFY_ADD_DEVICE, Ok(device)) => {
                target.device_added(&device)
            }
            (bindings::bus_notifier_event_BUS_NOTIFY_BIND_DRIVER, Ok(device)) => {
                target.before_bind(&device)
            }
            (bindings::bus_notifier_event_BUS_NOTIFY_REMOVED_DEVICE, Ok(device)) => {
                target.device_removed(&device)
            }
            _ => {}
        }
        bindings::NOTIFY_DONE as i32
    }
}

#[pinned_drop]
impl<T: BusNotifier> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: On the chain by the type's invariants; removal waits for running calls.
        unsafe {
            bindings::bus_unregister_notifier(&raw const bindings::pci_bus_type, self.entry.get());
        }
    }
}
