// SPDX-License-Identifier: GPL-2.0

//! PCI devices as a remapping unit sees them: requester IDs, bridges, aliases, isolation.

use crate::bindings;
use crate::device::Device;
use core::ptr::NonNull;
use kernel::prelude::*;

/// A counted reference to a PCI device.
///
/// # Invariants
///
/// `ptr` carries one reference.
pub struct PciDevice {
    ptr: NonNull<bindings::pci_dev>,
}

// SAFETY: References to PCI devices may move between threads; the methods only read what the PCI
// core keeps stable after enumeration.
unsafe impl Send for PciDevice {}
// SAFETY: As above.
unsafe impl Sync for PciDevice {}

/// The control register of access control: which kinds of it are on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AcsControl(u16);

/// What kind of PCI Express function a device is; `Conventional` where it is none.
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

/// The facts of one device that alias walks and scopes need.
pub struct Facts {
    /// Segment (PCI domain).
    pub segment: u32,
    /// Requester ID: bus, device, function.
    pub requester: u16,
    /// Vendor.
    pub vendor: u16,
    /// Model.
    pub device: u16,
    /// Buses below a bridge: secondary and subordinate.
    pub buses_below: Option<(u8, u8)>,
    /// Its place in PCI Express.
    pub port: PortType,
    /// A virtual function.
    pub is_virtual_function: bool,
    /// Set by firmware or the PCI core on external-facing ports and below them.
    pub untrusted: bool,
    /// Class code, 24 bits.
    pub class: u32,
    has_alias_mask: bool,
    xlate_root: bool,
    bridge_no_alias: bool,
    pcie_bridge_alias: bool,
    is_root_bus: bool,
}

impl Facts {
    /// Whether no bridge stands above.
    pub fn is_on_root_bus(&self) -> bool {
        self.is_root_bus
    }
}

impl PciDevice {
    /// Takes a further reference.
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

    /// # Safety
    ///
    /// `ptr` must be null or carry a reference, which is given to the result.
    unsafe fn adopt(ptr: *mut bindings::pci_dev) -> Option<Self> {
        // INVARIANT: Carries a reference by this function's contract.
        NonNull::new(ptr).map(|ptr| PciDevice { ptr })
    }

    /// The device at an address.
    pub fn find(segment: u16, requester: u16) -> Option<Self> {
        // SAFETY: Any address may be asked for; the answer carries a reference.
        unsafe {
            Self::adopt(bindings::pci_get_domain_bus_and_slot(
                i32::from(segment),
                u32::from(requester >> 8),
                u32::from(requester & 0xff),
            ))
        }
    }

    /// All PCI devices, in the order of the bus list. Process context.
    pub fn all() -> impl Iterator<Item = PciDevice> {
        Self::with_ids(bindings::PCI_ANY_ID as u32, bindings::PCI_ANY_ID as u32)
    }

    /// Those of a vendor's model, in the order of the bus list. Process context.
    pub fn with_ids(vendor: u32, model: u32) -> impl Iterator<Item = PciDevice> {
        let mut last: Option<PciDevice> = None;
        core::iter::from_fn(move || {
            let from = last
                .take()
                .map_or(core::ptr::null_mut(), PciDevice::into_raw);
            // SAFETY: `from` carries a reference, which the call gives up; the answer carries one.
            let next = unsafe { Self::adopt(bindings::pci_get_device(vendor, model, from)) }?;
            // SAFETY: `next` holds a reference.
            last = unsafe { Self::get(next.ptr.as_ptr()) };
            Some(next)
        })
    }

    /// The pointer, with the reference that this held.
    fn into_raw(self) -> *mut bindings::pci_dev {
        core::mem::ManuallyDrop::new(self).ptr.as_ptr()
    }

    pub(crate) fn as_raw(&self) -> *mut bindings::pci_dev {
        self.ptr.as_ptr()
    }

    /// The device as the device core knows it.
    pub fn as_device(&self) -> &Device {
        // SAFETY: The reference of `self` keeps it alive.
        unsafe { Device::from_raw(bindings::vtd_helper_pci_to_dev(self.ptr.as_ptr())) }
    }

    /// Its facts.
    pub fn facts(&self) -> Facts {
        let mut raw = bindings::vtd_pci_facts::default();
        // SAFETY: Valid device, room for the answer.
        unsafe { bindings::vtd_helper_pci_facts(self.ptr.as_ptr(), &mut raw) };
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
        Facts {
            segment: raw.segment,
            requester: raw.requester,
            vendor: raw.vendor,
            device: raw.device,
            buses_below: raw.is_bridge.then_some((raw.secondary, raw.subordinate)),
            port,
            is_virtual_function: raw.is_virtfn,
            untrusted: raw.untrusted,
            class: raw.class,
            has_alias_mask: raw.has_alias_mask,
            xlate_root: raw.xlate_root,
            bridge_no_alias: raw.bridge_no_alias,
            pcie_bridge_alias: raw.pcie_bridge_alias,
            is_root_bus: raw.is_root_bus,
        }
    }

    /// Reads a word (2 bytes) or a double word (4) of configuration space. [`None`] for other sizes,
    /// or if the device does not answer. Process context.
    pub fn read_config(&self, offset: u16, bytes: u8) -> Option<u32> {
        let (mut word, mut double) = (0u16, 0u32);
        // SAFETY: Valid device, room for the answers; configuration space may be read at any offset.
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

    /// The device whose requester ID its DMA carries: another one behind a volume management
    /// device, which hides a whole segment.
    pub fn dma_device(&self) -> Option<PciDevice> {
        // SAFETY: Valid device; the answer carries a reference.
        unsafe { Self::adopt(bindings::vtd_helper_pci_real_dma_dev(self.ptr.as_ptr())) }
    }

    /// The bridge above, [`None`] on a root bus.
    pub fn upstream(&self) -> Option<PciDevice> {
        // SAFETY: Valid device; the answer carries a reference.
        unsafe { Self::adopt(bindings::vtd_helper_pci_upstream(self.ptr.as_ptr())) }
    }

    /// The physical function; the device itself where it is none's virtual function.
    pub fn physical_function(&self) -> Option<PciDevice> {
        // SAFETY: Valid device; the answer carries a reference.
        unsafe { Self::adopt(bindings::vtd_helper_pci_physfn(self.ptr.as_ptr())) }
    }

    /// Visits every requester ID under which the transactions of this device may arrive at a unit:
    /// its own, its quirky ones, and those which bridges above put in its place.
    ///
    /// The rules are those of the PCI Express to PCI/PCI-X Bridge Specification 2.3: such a bridge
    /// forwards with its secondary bus number and function 0, a conventional bridge may take over
    /// what comes from below.
    pub fn for_each_requester(&self, mut visit: impl FnMut(u16) -> Result) -> Result {
        let facts = self.facts();
        visit(facts.requester)?;
        if facts.has_alias_mask {
            for devfn in 0..=0xffu16 {
                // SAFETY: Valid device; `devfn` is below 256, the width of the mask.
                if unsafe { bindings::vtd_helper_pci_alias_bit(self.ptr.as_ptr(), devfn.into()) } {
                    visit(facts.requester & 0xff00 | devfn)?;
                }
            }
        }
        let mut next = self.upstream();
        while let Some(bridge) = next {
            let above = bridge.facts();
            if above.xlate_root {
                break;
            }
            let secondary = above.buses_below.map_or(0, |(s, _)| u16::from(s) << 8);
            match above.port {
                PortType::ToPci if !above.bridge_no_alias => visit(secondary)?,
                PortType::FromPci => visit(above.requester)?,
                PortType::Conventional if above.pcie_bridge_alias => visit(secondary)?,
                PortType::Conventional => visit(above.requester)?,
                _ => {}
            }
            next = bridge.upstream();
        }
        Ok(())
    }

    /// Turns on what the device offers of access control (source validation, request and
    /// completion redirect, upstream forwarding; translation blocking where strangers can plug
    /// something in and where ATS is switched off), so that peers cannot reach each other past the
    /// unit. What it was before, if it was changed; a device without the capability is left alone.
    pub fn enable_acs(&self) -> Option<AcsControl> {
        let (control, at) = self.acs()?;
        let mut wanted = bindings::PCI_ACS_SV
            | bindings::PCI_ACS_RR
            | bindings::PCI_ACS_CR
            | bindings::PCI_ACS_UF;
        // SAFETY: Valid device, of which what the PCI core found at enumeration is read; the other
        // call has no preconditions.
        let (offered, block_translated) = unsafe {
            (
                bindings::vtd_helper_pci_acs_offered(self.ptr.as_ptr()),
                bindings::vtd_helper_pci_faces_strangers(self.ptr.as_ptr())
                    || bindings::pci_ats_disabled(),
            )
        };
        if block_translated {
            wanted |= bindings::PCI_ACS_TB;
        }
        let new = control | (offered & wanted as u16);
        if new == control {
            return None;
        }
        self.write_acs(at, new);
        Some(AcsControl(control))
    }

    /// What is on of access control. [`None`] for a device without the capability.
    pub fn acs_control(&self) -> Option<AcsControl> {
        self.acs().map(|(control, _)| AcsControl(control))
    }

    /// Turns on again what was on in `wanted`. Whether any of it was off. A device that does not
    /// answer is left alone, and so is one without power, which an access would disturb.
    pub fn require_acs(&self, wanted: AcsControl) -> bool {
        // SAFETY: Valid device.
        if unsafe { bindings::vtd_helper_pci_is_off(self.ptr.as_ptr()) } {
            return false;
        }
        match self.acs() {
            Some((control, at)) if wanted.0 & !control != 0 => {
                self.write_acs(at, control | wanted.0);
                true
            }
            _ => false,
        }
    }

    /// Sets access control to what [`Self::enable_acs`] found.
    pub fn restore_acs(&self, before: AcsControl) {
        if let Some((_, at)) = self.acs() {
            self.write_acs(at, before.0);
        }
    }

    /// What is on, and where that is controlled.
    fn acs(&self) -> Option<(u16, i32)> {
        let mut control = 0u16;
        // SAFETY: Valid device; configuration space may be read at any offset.
        unsafe {
            let cap = i32::from(bindings::vtd_helper_pci_acs_cap(self.ptr.as_ptr()));
            let at = cap + bindings::PCI_ACS_CTRL as i32;
            (cap != 0
                && bindings::vtd_helper_pci_read_word(self.ptr.as_ptr(), at, &mut control) == 0)
                .then_some((control, at))
        }
    }

    fn write_acs(&self, at: i32, value: u16) {
        // SAFETY: Valid device; `at` is the control register of its access control capability.
        unsafe { bindings::vtd_helper_pci_write_word(self.ptr.as_ptr(), at, value) };
    }

    /// Whether this is a bridge whose driver only serves its port (port services).
    pub fn is_bridge(&self) -> bool {
        self.facts().buses_below.is_some()
    }

    /// Whether no bridge stands above.
    pub fn is_on_root_bus(&self) -> bool {
        self.facts().is_root_bus
    }

    /// Releases the driver. Process context; the device lock must not be held.
    pub fn release_driver(&self) {
        // SAFETY: Valid device.
        unsafe { bindings::device_release_driver(self.as_device().as_raw()) }
    }

    /// Looks for a driver and binds it. Process context; the device lock must not be held.
    ///
    /// Returns whether one was bound.
    pub fn attach_driver(&self) -> bool {
        // SAFETY: Valid device.
        unsafe { bindings::device_attach(self.as_device().as_raw()) == 1 }
    }
}

impl PciDevice {
    /// Whether both are the same device.
    pub fn is(&self, other: &PciDevice) -> bool {
        self.ptr == other.ptr
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
