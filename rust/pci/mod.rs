// SPDX-License-Identifier: GPL-2.0

//! PCI devices as a remapping unit sees them: requester IDs, bridges, aliases, isolation.
//!
//! # What a reference keeps
//!
//! A [`PciDevice`] may be asked at any time, also while the device is being removed or after. So
//! only what the last reference frees is followed:
//!
//! - the device's own fields that enumeration sets: header type, capabilities, flags, class;
//! - its bus (`pci_alloc_dev()` takes a reference), that one's number, and the bridge above
//!   (`bus->self`, which `bus->bridge` counts), and so on up to the root bus and its host bridge.
//!
//! Not kept are the bus below a bridge (`subordinate`), the bus that a bus of virtual functions was
//! made beside (`parent`), a physical function (`physfn`, until its function is removed), and the
//! data of a root bus that a volume management device made (`sysdata`, until its driver goes). Such a
//! pointer is compared with those of devices that are there, and never followed.
//!
//! C header: `include/linux/pci.h`.

use crate::bindings;
use crate::device::Device;
use core::ptr::{self, NonNull};
use kernel::prelude::*;

mod access_control;
mod enabled;

pub use crate::rescan::{RescanGuard, RescanLock};
pub use access_control::AcsControl;
pub use enabled::KeptEnabled;

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
    is_bridge: bool,
}

impl Facts {
    /// Returns the requester ID that a bridge may put in place of those of devices below it, on the
    /// bus of this number.
    fn alias_for(&self, bus: u8) -> Option<u16> {
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

    /// Returns the device at an address. Process context.
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

    /// All PCI devices, in the order of the bus list. One that is removed while it is the last that
    /// was handed out makes the list begin again; hold the [`RescanLock`] where that matters.
    /// Process context.
    pub fn all() -> impl Iterator<Item = PciDevice> {
        Self::with_ids(bindings::PCI_ANY_ID as u32, bindings::PCI_ANY_ID as u32)
    }

    /// Those of a vendor's model, in the order of the bus list. Process context.
    pub fn with_ids(vendor: u32, model: u32) -> impl Iterator<Item = PciDevice> {
        let mut last: Option<PciDevice> = None;
        core::iter::from_fn(move || {
            let from = last.take().map_or(ptr::null_mut(), PciDevice::into_raw);
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

    /// Its segment, which its name begins with: `pci_domain_nr()` follows `sysdata`.
    fn segment(&self) -> u32 {
        let name = self.as_device().name();
        let segment = name.as_str().split(':').next().unwrap_or_default();
        u32::from_str_radix(segment, 16).unwrap_or(u32::MAX)
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
    /// device, which hides a whole segment. [`None`] if a device on the way there has been removed.
    /// Process context.
    pub fn dma_device(&self) -> Option<PciDevice> {
        // That driver numbers its segments from there on; firmware's have 16 bits.
        if self.segment() <= u16::MAX.into() {
            return Some(self.clone());
        }
        let mut top = self.physical_function()?;
        while let Some(above) = top.upstream() {
            top = above;
        }
        // SAFETY: Valid device on a root bus; its host bridge's parent is compared and not followed.
        let parent = unsafe { bindings::vtd_helper_pci_host_parent(top.ptr.as_ptr()) };
        let made_by = Self::all().find(|device| ptr::eq(device.as_device().as_raw(), parent));
        Some(made_by.unwrap_or_else(|| self.clone()))
    }

    /// The bridge above, [`None`] on a root bus. Process context.
    pub fn upstream(&self) -> Option<PciDevice> {
        let function = self.physical_function()?;
        function.above().map(|(bridge, _)| bridge)
    }

    /// The bridge above a function that is no virtual one, and the number of the bus between.
    fn above(&self) -> Option<(PciDevice, u8)> {
        let mut bus = 0;
        // SAFETY: Valid device; the answer carries a reference.
        let bridge =
            unsafe { Self::adopt(bindings::vtd_helper_pci_above(self.ptr.as_ptr(), &mut bus)) };
        bridge.map(|bridge| (bridge, bus))
    }

    /// The physical function; the device itself where it is none's virtual function. [`None`] if
    /// that has been removed. Process context.
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

    /// Visits every requester ID under which the transactions of this device may arrive at a unit:
    /// its own, its quirky ones, and those which bridges above put in its place.
    ///
    /// The rules are those of the PCI Express to PCI/PCI-X Bridge Specification 2.3: such a bridge
    /// forwards with its secondary bus number and function 0, a conventional bridge may take over
    /// what comes from below.
    ///
    /// The error is `visit`'s, or [`ENODEV`] for a function that is being removed. Process context.
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
        let mut next = self.physical_function().ok_or(ENODEV)?.above();
        while let Some((bridge, bus)) = next {
            let above = bridge.facts();
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

    /// The closest bridge above that may put `requester` in place of this device's requester ID,
    /// by the rules of [`Self::for_each_requester`].
    pub fn bridge_with_alias(&self, requester: u16) -> Option<PciDevice> {
        let mut next = self.physical_function()?.above();
        while let Some((bridge, bus)) = next {
            let above = bridge.facts();
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

    /// Returns the requester ID that this bridge may put in place of those of devices below it.
    /// Process context.
    pub fn alias_for_below(&self) -> Option<u16> {
        let (secondary, _) = self.buses_below()?;
        self.facts().alias_for(secondary)
    }

    /// Returns the secondary and the subordinate bus number in a bridge's configuration space;
    /// [`None`] for other devices, or if it does not answer. Process context.
    pub fn buses_below(&self) -> Option<(u8, u8)> {
        if !self.is_bridge() {
            return None;
        }
        let at = bindings::PCI_PRIMARY_BUS as u16;
        let [_, secondary, subordinate, _] = self.read_config(at, 4)?.to_le_bytes();
        Some((secondary, subordinate))
    }

    /// Whether this is a bridge whose driver only serves its port (port services).
    pub fn is_bridge(&self) -> bool {
        self.facts().is_bridge
    }

    /// Releases the driver. Process context; the device lock must not be held.
    pub fn release_driver(&self) {
        // SAFETY: Valid device.
        unsafe { bindings::device_release_driver(self.as_device().as_raw()) }
    }

    /// Returns how many virtual functions the device has enabled. Any context.
    pub fn virtual_functions(&self) -> u32 {
        // SAFETY: Valid device.
        unsafe { bindings::pci_num_vf(self.ptr.as_ptr()) }.unsigned_abs()
    }

    /// Returns whether the device has been removed from its bus. Any context.
    pub fn is_removed(&self) -> bool {
        // SAFETY: Valid device, of whose flags one is read that is set once.
        unsafe { bindings::vtd_helper_pci_is_removed(self.ptr.as_ptr()) }
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
