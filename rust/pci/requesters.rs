// SPDX-License-Identifier: GPL-2.0

//! The requester IDs of a device and of the bridges above it.

use super::PciDevice;
use crate::bindings;
use kernel::prelude::*;

impl PciDevice {
    /// Visits every requester ID with which the transactions of this device may arrive at a unit:
    /// its own, those of its DMA alias quirks, and those with which bridges above replace it.
    ///
    /// The rules are those of the PCI Express to PCI/PCI-X Bridge Specification 2.3: such a bridge
    /// forwards with its secondary bus number and function 0, and a conventional bridge may forward
    /// with its own requester ID.
    ///
    /// # Errors
    ///
    /// That of `visit`, or [`ENODEV`] for a function that is being removed.
    ///
    /// # Context
    ///
    /// Process context.
    pub fn for_each_requester(&self, mut visit: impl FnMut(u16) -> Result) -> Result {
        let own = self.properties();
        visit(own.requester)?;
        if own.has_alias_mask {
            for devfn in 0..=0xffu8 {
                if self.has_alias(devfn) {
                    visit(own.requester & 0xff00 | u16::from(devfn))?;
                }
            }
        }
        let mut next = self.physical_function().ok_or(ENODEV)?.above();
        while let Some((bridge, bus)) = next {
            let above = bridge.properties();
            if above.xlate_root {
                break;
            }
            if let Some(alias) = above.alias_for(bus) {
                visit(alias)?;
            }
            next = bridge.above();
        }
        Ok(())
    }

    /// Returns whether a DMA alias quirk of this function names this device and function of its bus.
    pub(super) fn has_alias(&self, devfn: u8) -> bool {
        // SAFETY: Valid device; `devfn` is below 256, the width of the mask.
        unsafe { bindings::vtd_helper_pci_alias_bit(self.ptr.as_ptr(), devfn.into()) }
    }

    /// Returns the closest bridge above that may replace this device's requester ID by `requester`,
    /// by the rules of [`Self::for_each_requester`].
    pub fn bridge_with_alias(&self, requester: u16) -> Option<PciDevice> {
        let mut next = self.physical_function()?.above();
        while let Some((bridge, bus)) = next {
            let above = bridge.properties();
            if above.xlate_root {
                break;
            }
            if above.alias_for(bus) == Some(requester) {
                return Some(bridge);
            }
            next = bridge.above();
        }
        None
    }

    /// Returns the requester ID with which this bridge may replace those of devices below it.
    ///
    /// # Context
    ///
    /// Process context.
    pub fn alias_for_below(&self) -> Option<u16> {
        let (secondary, _) = self.buses_below()?;
        self.properties().alias_for(secondary)
    }

    /// Returns the secondary and the subordinate bus number in a bridge's configuration space;
    /// [`None`] for other devices, or if it does not respond.
    ///
    /// # Context
    ///
    /// Process context.
    pub fn buses_below(&self) -> Option<(u8, u8)> {
        if !self.is_bridge() {
            return None;
        }
        let at = bindings::PCI_PRIMARY_BUS as u16;
        let [_, secondary, subordinate, _] = self.read_config(at, 4)?.to_le_bytes();
        Some((secondary, subordinate))
    }
}
