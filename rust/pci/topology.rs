// SPDX-License-Identifier: GPL-2.0

//! The devices above a device.

use super::PciDevice;
use crate::bindings;
use core::ptr;

impl PciDevice {
    /// Returns the device whose requester ID its DMA has. Behind a volume management device, which
    /// hides a whole segment, this is that device, otherwise `self`. [`None`] if a device on the
    /// path was removed.
    ///
    /// # Context
    ///
    /// Process context.
    pub fn dma_device(&self) -> Option<PciDevice> {
        // The driver of volume management devices numbers its segments from 0x10000 on; segments of
        // firmware have 16 bits.
        if self.segment() <= u16::MAX.into() {
            return Some(self.clone());
        }
        let mut top = self.physical_function()?;
        while let Some(above) = top.upstream() {
            top = above;
        }
        // SAFETY: Valid device on a root bus; its host bridge's parent is compared and not
        // followed.
        let parent = unsafe { bindings::vtd_helper_pci_host_parent(top.ptr.as_ptr()) };
        let made_by = Self::all().find(|device| ptr::eq(device.as_device().as_raw(), parent));
        Some(made_by.unwrap_or_else(|| self.clone()))
    }

    /// Returns the bridge above; [`None`] on a root bus.
    ///
    /// # Context
    ///
    /// Process context.
    pub fn upstream(&self) -> Option<PciDevice> {
        let function = self.physical_function()?;
        function.above().map(|(bridge, _)| bridge)
    }

    /// Returns the bridge above a function that is not virtual, and the number of the bus between
    /// them.
    pub(super) fn above(&self) -> Option<(PciDevice, u8)> {
        let mut bus = 0;
        // SAFETY: Valid device; the result carries a reference.
        let bridge = unsafe {
            Self::from_owned(bindings::vtd_helper_pci_bridge_above(
                self.ptr.as_ptr(),
                &mut bus,
            ))
        };
        bridge.map(|bridge| (bridge, bus))
    }

    /// Returns the physical function of a virtual function, or the device itself if it is not one.
    /// [`None`] if the physical function was removed.
    ///
    /// # Context
    ///
    /// Process context.
    pub fn physical_function(&self) -> Option<PciDevice> {
        // SAFETY: Valid device; the result is compared and not followed.
        let function = unsafe { bindings::vtd_helper_pci_physfn(self.ptr.as_ptr()) };
        if ptr::eq(function, self.ptr.as_ptr()) {
            return Some(self.clone());
        }
        Self::all().find(|device| ptr::eq(device.ptr.as_ptr(), function))
    }

    /// Returns whether there is no bridge above.
    ///
    /// # Context
    ///
    /// Process context.
    pub fn is_on_root_bus(&self) -> bool {
        self.upstream().is_none()
    }
}
