// SPDX-License-Identifier: GPL-2.0

//! Translations that a device requests and keeps in its device-TLB (ATS, PCI Express 10).
//!
//! The kernel keeps the state of ATS in each function, and that of a virtual function depends on its
//! physical function, to which the kernel's own functions follow a pointer. So these methods hold a
//! reference to the physical function while they call them.
//!
//! C header: `include/linux/pci-ats.h`.

use super::PciDevice;
use crate::bindings;
use kernel::error::to_result;
use kernel::prelude::*;

/// The smallest translation that a device requests, as a power of two: a page of 4 KiB.
const PAGE_SHIFT: i32 = bindings::PCI_ATS_MIN_STU as i32;

/// The ATS capability of a function.
pub struct AtsCapability {
    /// How many invalidations the device takes at a time, 1 to 32. A virtual function shares the
    /// queue of its physical function.
    pub queue_depth: u8,
    /// Whether all requests are aligned to pages (Page Aligned Request).
    pub page_aligned: bool,
    /// Whether the kernel supports ATS of this function: it is trusted, and so is its physical
    /// function, which has the capability, too.
    pub supported: bool,
    /// Whether the device does not work without.
    pub required: bool,
    /// The requester ID of the physical function; its own, unless the function is virtual.
    pub physical_function: u16,
}

impl PciDevice {
    /// Returns the ATS capability. [`None`]: the device has none, the kernel ignores it
    /// (`pci=noats`), the device does not respond, or its physical function was removed.
    ///
    /// # Context
    ///
    /// Process context.
    pub fn ats_capability(&self) -> Option<AtsCapability> {
        let physical = self.physical_function()?;
        let own = self.ats_register()?;
        // Where the physical function has no such capability, the function is not supported.
        let queue = physical.ats_register().unwrap_or(own);
        // SAFETY: Valid devices: `physical` keeps the physical function, to which these calls
        // follow a pointer.
        let (supported, required) = unsafe {
            (
                // Before 7.3 the kernel does not ask for the physical function.
                bindings::vtd_helper_pci_ats_supported(self.ptr.as_ptr())
                    && bindings::vtd_helper_pci_ats_supported(physical.ptr.as_ptr()),
                bindings::vtd_helper_pci_ats_required(self.ptr.as_ptr()),
            )
        };
        Some(AtsCapability {
            queue_depth: match queue & 0x1f {
                0 => bindings::PCI_ATS_MAX_QDEP as u8,
                depth => depth as u8,
            },
            page_aligned: own & bindings::PCI_ATS_CAP_PAGE_ALIGNED != 0,
            supported,
            required,
            physical_function: physical.properties().requester,
        })
    }

    /// Sets the size of the translations that the device will request. Virtual functions have that
    /// of their physical function, so it must be set there first.
    ///
    /// # Errors
    ///
    /// [`EBUSY`] if ATS is on. [`ENODEV`] if the physical function was removed. [`EINVAL`] if ATS is
    /// not supported, or if the physical function was not prepared.
    ///
    /// # Context
    ///
    /// Process context. No other call changes ATS of this device at the same time.
    pub fn prepare_ats(&self) -> Result {
        let physical = self.physical_function().ok_or(ENODEV)?;
        if self.is_ats_on() {
            return Err(EBUSY);
        }
        // The kernel checks this for virtual functions since 7.3.
        let prepared = || physical.translation_unit() == PAGE_SHIFT;
        if !physical.is_same_as(self) && !prepared() {
            return Err(EINVAL);
        }
        // SAFETY: Valid device; `physical` keeps the physical function.
        to_result(unsafe { bindings::vtd_helper_pci_prepare_ats(self.ptr.as_ptr(), PAGE_SHIFT) })
    }

    /// Turns ATS on: from now on the device requests translations. The kernel turns it on again
    /// after a reset, until [`Self::disable_ats`].
    ///
    /// # Errors
    ///
    /// [`EBUSY`] if it is on. [`ENODEV`] if the physical function was removed. [`EINVAL`] if ATS is
    /// not supported, or if the physical function was not prepared.
    ///
    /// # Context
    ///
    /// Process context. No other call changes ATS of this device at the same time.
    pub fn enable_ats(&self) -> Result {
        let physical = self.physical_function().ok_or(ENODEV)?;
        if self.is_ats_on() {
            return Err(EBUSY);
        }
        // SAFETY: Valid device; `physical` keeps the physical function.
        let done = to_result(unsafe {
            bindings::vtd_helper_pci_enable_ats(self.ptr.as_ptr(), PAGE_SHIFT)
        });
        drop(physical);
        done
    }

    /// Turns ATS off, if it is on. The device requests no more translations, and removes those that
    /// it keeps, if it does what it should.
    ///
    /// # Context
    ///
    /// Any context, for a device that is awake or gone. No other call changes ATS of this device at
    /// the same time.
    pub fn disable_ats(&self) {
        if self.is_ats_on() {
            // SAFETY: Valid device; the call follows no pointer to another.
            unsafe { bindings::vtd_helper_pci_disable_ats(self.ptr.as_ptr()) }
        }
    }

    /// Returns whether ATS is on, as far as the kernel knows.
    ///
    /// # Context
    ///
    /// Any context.
    pub fn is_ats_on(&self) -> bool {
        // SAFETY: Valid device.
        unsafe { bindings::vtd_helper_pci_ats_enabled(self.ptr.as_ptr()) }
    }

    /// Returns whether another function has a DMA alias quirk by which its requests may have this
    /// device's requester ID.
    ///
    /// # Context
    ///
    /// Process context.
    pub fn is_alias_of_another(&self) -> bool {
        let own = self.properties();
        Self::all().any(|other| {
            let others = other.properties();
            others.has_alias_mask
                && !other.is_same_as(self)
                && others.segment == own.segment
                && others.requester >> 8 == own.requester >> 8
                && other.has_alias(own.requester as u8)
        })
    }

    /// Returns whether the device is below a bridge that is not PCI Express on both sides.
    ///
    /// # Context
    ///
    /// Process context.
    pub fn is_below_conventional_bridge(&self) -> bool {
        let above = core::iter::successors(self.upstream(), Self::upstream);
        above
            .map(|bridge| bridge.properties().port)
            .any(|port| port != super::PortType::Port)
    }

    /// Sets a mark in the control register of the ATS capability, which a reset removes. Returns false
    /// if ATS is on, or if the device keeps no mark, as virtual functions do not.
    ///
    /// # Context
    ///
    /// Any context, for a device that is awake or gone.
    pub fn set_ats_mark(&self) -> bool {
        // SAFETY: Valid device.
        unsafe { bindings::vtd_helper_pci_set_ats_mark(self.ptr.as_ptr()) }
    }

    /// Returns whether the device has the mark, so that it was not reset since it was set. A device
    /// that does not respond has it.
    ///
    /// # Context
    ///
    /// Any context.
    pub fn has_ats_mark(&self) -> bool {
        // SAFETY: Valid device.
        unsafe { bindings::vtd_helper_pci_has_ats_mark(self.ptr.as_ptr()) }
    }

    /// Returns whether the device was removed from its bus without notice, as far as the kernel knows.
    ///
    /// # Context
    ///
    /// Any context.
    pub fn is_gone(&self) -> bool {
        // SAFETY: Valid device.
        unsafe { bindings::vtd_helper_pci_is_gone(self.ptr.as_ptr()) }
    }

    /// Clears the device's right to send requests: it is no bus master until a driver or a reset
    /// makes it one again.
    ///
    /// # Context
    ///
    /// Any context, for a device that is awake or gone.
    pub fn clear_bus_master(&self) {
        // SAFETY: Valid device.
        unsafe { bindings::pci_clear_master(self.ptr.as_ptr()) }
    }

    /// Reads the register of the ATS capability, if there is one that the kernel uses.
    fn ats_register(&self) -> Option<u32> {
        // SAFETY: Valid device.
        let at = unsafe { bindings::vtd_helper_pci_ats_cap(self.ptr.as_ptr()) };
        (at != 0)
            .then(|| self.read_config(at + bindings::PCI_ATS_CAP as u16, 2))
            .flatten()
    }

    /// Returns the size of the translations that were requested last, as a power of two; 0 if none
    /// were.
    fn translation_unit(&self) -> i32 {
        // SAFETY: Valid device.
        unsafe { bindings::vtd_helper_pci_ats_stu(self.ptr.as_ptr()) }.into()
    }
}
