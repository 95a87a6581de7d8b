// SPDX-License-Identifier: GPL-2.0

//! The devices above a device.

use super::PciDevice;
use crate::bindings;
use core::ptr;

impl PciDevice {
    /// Returns the device whose requester ID its DMA carries: another one behind a volume
    /// management device, which hides a whole segment. [`None`] if a device on the path there has
    /// been removed. Process context.
    pub fn dma_device(&self) -> Option<PciDevice> {
        // That driver numbers its segments from there on; firmware's have 16 bits.
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

    /// Returns the bridge above, [`None`] on a root bus. Process context.
    pub fn upstream(&self) -> Option<PciDevice> {
        let function = self.physical_function()?;
        function.above().map(|(bridge, _)| bridge)
    }

    /// Returns the bridge above a function that is no virtual one, and the number of the bus
    /// between.
    pub(super) fn above(&self) -> Option<(PciDevice, u8)> {
        let mut bus = 0;
        // SAFETY: Valid device; the answer carries a reference.
        let bridge = unsafe {
            Self::from_owned(bindings::vtd_helper_pci_bridge_above(
                self.ptr.as_ptr(),
                &mut bus,
            ))
        };
        bridge.map(|bridge| (bridge, bus))
    }

    /// Returns the physical function; the device itself if it is not a virtual function. [`None`]
    /// if that has been removed. Process context.
    pub fn physical_function(&self) -> Option<PciDevice> {
        // SAFETY: Valid device; the answer is compared and not followed.
        let function = unsafe { bindings::vtd_helper_pci_physfn(self.ptr.as_ptr()) };
        if ptr::eq(function, self.ptr.as_ptr()) {
            return Some(self.clone());
        }
        Self::all().find(|device| ptr::eq(device.ptr.as_ptr(), function))
    }

    /// Returns whether no bridge is above. Process context.
    pub fn is_on_root_bus(&self) -> bool {
        self.upstream().is_none()
    }
}
