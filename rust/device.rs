// SPDX-License-Identifier: GPL-2.0

//! A `struct device`, as the IOMMU core passes it to a driver.

use crate::bindings;
use crate::pages::NumaNode;
use crate::print::Level;
use core::fmt;
use core::ptr;
use kernel::container_of;
use kernel::prelude::*;
use kernel::sync::rcu;
use kernel::types::{NotThreadSafe, Opaque};

/// A device, borrowed for the duration of a callback.
#[repr(transparent)]
pub struct Device(Opaque<bindings::device>);

// SAFETY: `struct device` may be used concurrently; the methods below only read fields that the
// device core keeps stable or reads once.
unsafe impl Sync for Device {}

impl Device {
    /// Borrows a C device.
    ///
    /// # Safety
    ///
    /// `dev` must point at a device that lives for `'a`.
    pub(crate) unsafe fn from_raw<'a>(dev: *mut bindings::device) -> &'a Device {
        // SAFETY: By this function's contract; the type is transparent.
        unsafe { &*dev.cast() }
    }

    /// Returns the pointer for C.
    pub(crate) fn as_raw(&self) -> *mut bindings::device {
        self.0.get()
    }

    /// Returns the NUMA node, if it is known and online.
    pub fn numa_node(&self) -> NumaNode {
        // SAFETY: `self` is a valid device.
        NumaNode::online(unsafe { bindings::vtd_helper_dev_to_node(self.as_raw()) })
    }

    /// Returns its name, or "?" for a device that has none yet or is not on the PCI bus. Devices on
    /// other buses, such as network devices, may be renamed, which frees the old name.
    pub fn name(&self) -> Name {
        // SAFETY: `self` is a valid device. Nothing renames one on the PCI bus: pci_setup_device()
        // gives the name, before the device is registered, and the last reference frees it.
        let name = unsafe {
            if bindings::vtd_helper_dev_is_pci(self.as_raw()) {
                bindings::dev_name(self.as_raw())
            } else {
                ptr::null()
            }
        };
        if name.is_null() {
            return Name::copy(c"?");
        }
        // SAFETY: A terminated string, which lives as long as the device.
        Name::copy(unsafe { CStr::from_char_ptr(name) })
    }

    /// Tries to take the device core's lock of the device, without which no driver is bound or
    /// released; [`None`] if another thread has it.
    pub fn try_lock(&self) -> Option<DeviceGuard<'_>> {
        // SAFETY: `self` is a valid device.
        let taken = unsafe { bindings::vtd_helper_device_trylock(self.as_raw()) };
        // INVARIANT: Just taken.
        taken.then(|| DeviceGuard(self, NotThreadSafe))
    }

    /// Emits the core's trace event `iommu:io_page_fault`; costs next to nothing while it is not
    /// enabled.
    ///
    /// # Context
    ///
    /// Any context.
    pub fn trace_fault(&self, iova: u64, write: bool) {
        // SAFETY: `self` is a valid device; the event copies what it shows.
        unsafe { bindings::vtd_helper_trace_io_page_fault(self.as_raw(), iova as usize, write) }
    }

    /// Logs a message about the device, with a line end. The record has the device's subsystem and
    /// name, by which `journalctl` and readers of `/dev/kmsg` find it. The text has the module's
    /// prefix, as all others, and not the name of the device's driver, as that of `dev_err()` has.
    ///
    /// # Context
    ///
    /// Any context.
    #[cfg_attr(not(CONFIG_PRINTK), allow(unused_variables))]
    pub fn log(&self, level: Level, text: &str) {
        // SAFETY: `self` is a valid device. The format reads an `int` and, from the pointer, at most
        // that many bytes, which are those of `text`. Messages are shorter than `c_int::MAX`.
        #[cfg(CONFIG_PRINTK)]
        unsafe {
            bindings::dev_printk_emit(
                level as i32,
                self.as_raw(),
                c"vtd: %.*s\n".as_char_ptr(),
                text.len() as i32,
                text.as_ptr(),
            )
        };
    }

    /// Sends the uevent `change` of the device with `variable`, such as `NAME=value`.
    ///
    /// # Context
    ///
    /// May sleep.
    pub fn announce_change(&self, variable: &'static CStr) {
        // SAFETY: `self` is a valid device; the text is only read, and copied.
        unsafe {
            bindings::vtd_helper_announce_change(
                self.as_raw(),
                variable.as_char_ptr().cast_mut().cast(),
            )
        };
    }

    /// Returns the driver bound at this moment, if any; [`None`] for a device that is not on the
    /// PCI bus.
    ///
    /// # Context
    ///
    /// Any context but NMI.
    pub fn driver(&self) -> Option<DriverInfo> {
        // SAFETY: `self` is a valid device.
        if !unsafe { bindings::vtd_helper_dev_is_pci(self.as_raw()) } {
            return None;
        }
        let _read = rcu::read_lock();
        // SAFETY: `self` is a valid device, and its driver is read once. On the PCI bus that is
        // null or part of a `struct pci_driver`, which is part of vmlinux or of a module, as its
        // name is. Before a module's memory is freed, its exit function has unregistered the
        // driver, which released all devices, and free_module() has waited for a grace period; so
        // has the end of a module whose init function failed. What was bound when it was read is
        // therefore there until the end of the read-side section.
        unsafe {
            let driver = (&raw const (*self.as_raw()).driver).read_volatile();
            if driver.is_null() {
                return None;
            }
            let pci_driver = container_of!(driver, bindings::pci_driver, driver);
            Some(DriverInfo {
                name: Name::copy(CStr::from_char_ptr((*driver).name)),
                driver_managed_dma: (*pci_driver).driver_managed_dma,
            })
        }
    }
}

/// A device that is locked until this is dropped, by the thread that locked it: no driver is bound
/// or unbound.
///
/// # Invariants
///
/// The device's lock is held by this thread for this.
pub struct DeviceGuard<'a>(&'a Device, NotThreadSafe);

impl Drop for DeviceGuard<'_> {
    fn drop(&mut self) {
        // SAFETY: A valid device, whose lock is held by the type's invariants.
        unsafe { bindings::vtd_helper_device_unlock(self.0.as_raw()) }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.name(), f)
    }
}

/// A short name copied out of the kernel, cut at 31 bytes.
#[derive(Clone, Copy)]
pub struct Name {
    bytes: [u8; 31],
    len: u8,
}

impl Name {
    /// Copies what fits.
    fn copy(from: &CStr) -> Self {
        let mut name = Name {
            bytes: [0; 31],
            len: 0,
        };
        for (to, from) in name.bytes.iter_mut().zip(from.to_bytes()) {
            *to = *from;
            name.len += 1;
        }
        name
    }
}

impl Name {
    /// Returns the name, "?" where it is no text.
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or("?")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The driver that is bound to a device.
pub struct DriverInfo {
    /// Its name.
    pub name: Name,
    /// Whether it has `driver_managed_dma`: it does not use the kernel's DMA API (VFIO, port
    /// services).
    pub driver_managed_dma: bool,
}
