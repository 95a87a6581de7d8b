// SPDX-License-Identifier: GPL-2.0

//! PCI devices as a remapping unit sees them: requester IDs, bridges, aliases, isolation.
//!
//! # What a reference keeps valid
//!
//! A [`PciDevice`] may be used at any time, also while the device is being removed or afterwards.
//! So only pointers are followed that stay valid until the last reference is dropped:
//!
//! - the device's own fields that enumeration sets: header type, capabilities, flags, class;
//! - its bus (`pci_alloc_dev()` takes a reference), that one's number, and the bridge above
//!   (`bus->self`, which `bus->bridge` counts), and so on up to the root bus and its host bridge.
//!
//! A reference does not keep valid: the bus below a bridge (`subordinate`), the parent of a bus of
//! virtual functions (`parent`), a physical function (`physfn`, valid until its function is
//! removed), and the data of a root bus of a volume management device (`sysdata`, valid until its
//! driver is unbound). Such a pointer is compared with the pointers of existing devices, and never
//! followed.
//!
//! C header: `include/linux/pci.h`.

use crate::bindings;
use crate::device::Device;
use core::ptr::{self, NonNull};
use kernel::prelude::*;

mod access_control;
mod ats;
mod enabled;
mod properties;
mod requesters;
mod topology;

pub use crate::rescan::{RescanGuard, RescanLock};
pub use access_control::AcsControl;
pub use ats::AtsCapability;
pub use enabled::KeptEnabled;
pub use properties::{PciProperties, PortType};

/// A counted reference to a PCI device.
///
/// # Invariants
///
/// `ptr` carries one reference.
pub struct PciDevice {
    ptr: NonNull<bindings::pci_dev>,
}

// SAFETY: References to PCI devices may move between threads; the methods only follow what a
// reference keeps, see the module's documentation.
unsafe impl Send for PciDevice {}
// SAFETY: As above.
unsafe impl Sync for PciDevice {}

impl PciDevice {
    /// Takes another reference.
    ///
    /// # Safety
    ///
    /// `ptr` must be null or a valid device.
    pub(crate) unsafe fn get(ptr: *mut bindings::pci_dev) -> Option<Self> {
        let ptr = NonNull::new(ptr)?;
        // SAFETY: Valid by this function's contract.
        unsafe { bindings::pci_dev_get(ptr.as_ptr()) };
        // INVARIANT: Counted just now.
        Some(PciDevice { ptr })
    }

    /// Takes over a reference.
    ///
    /// # Safety
    ///
    /// `ptr` must be null or carry a reference, which is given to the result.
    unsafe fn from_owned(ptr: *mut bindings::pci_dev) -> Option<Self> {
        // INVARIANT: Carries a reference by this function's contract.
        NonNull::new(ptr).map(|ptr| PciDevice { ptr })
    }

    /// Returns the device at an address.
    ///
    /// # Context
    ///
    /// Process context.
    pub fn find(segment: u16, requester: u16) -> Option<Self> {
        // SAFETY: Any address is allowed; the result carries a reference.
        unsafe {
            Self::from_owned(bindings::pci_get_domain_bus_and_slot(
                i32::from(segment),
                u32::from(requester >> 8),
                u32::from(requester & 0xff),
            ))
        }
    }

    /// Returns all PCI devices, in the order of the bus list. If the device that was returned last
    /// is removed, the iteration begins again; hold the [`RescanLock`] where that matters.
    ///
    /// # Context
    ///
    /// Process context.
    pub fn all() -> impl Iterator<Item = PciDevice> {
        Self::with_ids(bindings::PCI_ANY_ID as u32, bindings::PCI_ANY_ID as u32)
    }

    /// Returns all devices with these IDs, in the order of the bus list.
    ///
    /// # Context
    ///
    /// Process context.
    pub fn with_ids(vendor: u32, model: u32) -> impl Iterator<Item = PciDevice> {
        let mut last: Option<PciDevice> = None;
        core::iter::from_fn(move || {
            let from = last.take().map_or(ptr::null_mut(), PciDevice::into_raw);
            // SAFETY: `from` carries a reference, which the call gives up; the answer carries one.
            let next = unsafe { Self::from_owned(bindings::pci_get_device(vendor, model, from)) }?;
            // SAFETY: `next` holds a reference.
            last = unsafe { Self::get(next.ptr.as_ptr()) };
            Some(next)
        })
    }

    /// Returns the pointer, with the reference of `self`.
    fn into_raw(self) -> *mut bindings::pci_dev {
        core::mem::ManuallyDrop::new(self).ptr.as_ptr()
    }

    /// Returns the pointer for C.
    pub(crate) fn as_raw(&self) -> *mut bindings::pci_dev {
        self.ptr.as_ptr()
    }

    /// Returns its `struct device`.
    pub fn as_device(&self) -> &Device {
        // SAFETY: The reference of `self` keeps it alive.
        unsafe { Device::from_raw(bindings::vtd_helper_pci_to_dev(self.ptr.as_ptr())) }
    }

    /// Reads a word (2 bytes) or a double word (4) of configuration space. [`None`] for other
    /// sizes, or if the device does not respond.
    ///
    /// # Context
    ///
    /// Process context.
    pub fn read_config(&self, offset: u16, bytes: u8) -> Option<u32> {
        let (mut word, mut double) = (0u16, 0u32);
        // SAFETY: Valid device, room for the answers; configuration space may be read at any
        // offset.
        let (failed, value) = unsafe {
            let (device, at) = (self.ptr.as_ptr(), i32::from(offset));
            match bytes {
                2 => (
                    bindings::pci_read_config_word(device, at, &mut word),
                    u32::from(word),
                ),
                4 => (
                    bindings::pci_read_config_dword(device, at, &mut double),
                    double,
                ),
                _ => return None,
            }
        };
        (failed == 0).then_some(value)
    }

    /// Returns whether both are the same device.
    pub fn is_same_as(&self, other: &PciDevice) -> bool {
        self.ptr == other.ptr
    }

    /// Unbinds the driver.
    ///
    /// # Context
    ///
    /// Process context; the device lock must not be held.
    pub fn release_driver(&self) {
        // SAFETY: Valid device.
        unsafe { bindings::device_release_driver(self.as_device().as_raw()) }
    }

    /// Returns how many virtual functions the device has enabled.
    ///
    /// # Context
    ///
    /// Any context.
    pub fn virtual_functions(&self) -> u32 {
        // SAFETY: Valid device.
        unsafe { bindings::pci_num_vf(self.ptr.as_ptr()) }.unsigned_abs()
    }

    /// Returns whether the device has been removed from its bus.
    ///
    /// # Context
    ///
    /// Any context.
    pub fn is_removed(&self) -> bool {
        // SAFETY: Valid device; reads a flag that is set once.
        unsafe { bindings::vtd_helper_pci_is_removed(self.ptr.as_ptr()) }
    }

    /// Binds a matching driver, if there is one; returns whether one was bound.
    ///
    /// # Context
    ///
    /// Process context; the device lock must not be held.
    pub fn attach_driver(&self) -> bool {
        // SAFETY: Valid device.
        unsafe { bindings::device_attach(self.as_device().as_raw()) == 1 }
    }
}

impl TryFrom<&Device> for PciDevice {
    type Error = Error;

    /// Takes a reference to the PCI device that `dev` is.
    ///
    /// # Errors
    ///
    /// [`ENODEV`] if it is on another bus.
    fn try_from(dev: &Device) -> Result<Self> {
        // SAFETY: A valid device; it is converted only if it is on the PCI bus.
        unsafe {
            if !bindings::vtd_helper_dev_is_pci(dev.as_raw()) {
                return Err(ENODEV);
            }
            Self::get(bindings::vtd_helper_to_pci_dev(dev.as_raw())).ok_or(ENODEV)
        }
    }
}

impl Clone for PciDevice {
    fn clone(&self) -> Self {
        // SAFETY: Valid device.
        unsafe { bindings::pci_dev_get(self.ptr.as_ptr()) };
        // INVARIANT: Counted just now.
        PciDevice { ptr: self.ptr }
    }
}

impl Drop for PciDevice {
    fn drop(&mut self) {
        // SAFETY: Gives up the reference that the invariants promise.
        unsafe { bindings::pci_dev_put(self.ptr.as_ptr()) }
    }
}
