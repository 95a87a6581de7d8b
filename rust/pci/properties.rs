// SPDX-License-Identifier: GPL-2.0

//! The properties of a device that enumeration sets.

use super::PciDevice;
use crate::bindings;

/// The kind of a PCI Express function; `Conventional` for other devices.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PortType {
    /// Conventional PCI or PCI-X.
    Conventional,
    /// Root port, upstream or downstream switch port.
    Port,
    /// PCI Express to PCI bridge.
    ToPci,
    /// PCI to PCI Express bridge.
    FromPci,
    /// Anything else: an endpoint.
    Endpoint,
}

/// The properties of one device that alias walks and scopes need.
pub struct PciProperties {
    /// Segment (PCI domain).
    pub segment: u32,
    /// Requester ID: bus, device, function.
    pub requester: u16,
    /// Vendor ID.
    pub vendor: u16,
    /// Device ID.
    pub device: u16,
    /// Its kind of PCI Express function.
    pub port: PortType,
    /// Whether it is a virtual function.
    pub is_virtual_function: bool,
    /// Set by firmware or the PCI core on external-facing ports and below them.
    pub untrusted: bool,
    /// Class code, 24 bits.
    pub class: u32,
    pub(super) has_alias_mask: bool,
    pub(super) xlate_root: bool,
    bridge_no_alias: bool,
    pcie_bridge_alias: bool,
    is_bridge: bool,
}

impl PciProperties {
    /// Returns the requester ID with which a bridge may replace those of devices on bus `bus` below
    /// it.
    pub(super) fn alias_for(&self, bus: u8) -> Option<u16> {
        let secondary = u16::from(bus) << 8;
        match self.port {
            PortType::ToPci if !self.bridge_no_alias => Some(secondary),
            PortType::FromPci => Some(self.requester),
            PortType::Conventional if self.pcie_bridge_alias => Some(secondary),
            PortType::Conventional => Some(self.requester),
            _ => None,
        }
    }
}

impl PciDevice {
    /// Returns its properties.
    pub fn properties(&self) -> PciProperties {
        let mut raw = bindings::vtd_pci_properties::default();
        // SAFETY: Valid device, room for the answer.
        unsafe { bindings::vtd_helper_pci_properties(self.ptr.as_ptr(), &mut raw) };
        let port = match (raw.is_pcie, u32::from(raw.pcie_type)) {
            (false, _) => PortType::Conventional,
            (
                true,
                bindings::PCI_EXP_TYPE_ROOT_PORT
                | bindings::PCI_EXP_TYPE_UPSTREAM
                | bindings::PCI_EXP_TYPE_DOWNSTREAM,
            ) => PortType::Port,
            (true, bindings::PCI_EXP_TYPE_PCI_BRIDGE) => PortType::ToPci,
            (true, bindings::PCI_EXP_TYPE_PCIE_BRIDGE) => PortType::FromPci,
            (true, _) => PortType::Endpoint,
        };
        PciProperties {
            segment: self.segment(),
            requester: raw.requester,
            vendor: raw.vendor,
            device: raw.device,
            port,
            is_virtual_function: raw.is_virtfn,
            untrusted: raw.untrusted,
            class: raw.class,
            has_alias_mask: raw.has_alias_mask,
            xlate_root: raw.xlate_root,
            bridge_no_alias: raw.bridge_no_alias,
            pcie_bridge_alias: raw.pcie_bridge_alias,
            is_bridge: raw.is_bridge,
        }
    }

    /// Returns its segment, parsed from its name: `pci_domain_nr()` would follow `sysdata`.
    pub(super) fn segment(&self) -> u32 {
        let name = self.as_device().name();
        let segment = name.as_str().split(':').next().unwrap_or_default();
        u32::from_str_radix(segment, 16).unwrap_or(u32::MAX)
    }

    /// Returns whether this is a bridge whose driver only serves its port (port services).
    pub fn is_bridge(&self) -> bool {
        self.properties().is_bridge
    }
}
