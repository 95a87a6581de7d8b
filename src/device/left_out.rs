// SPDX-License-Identifier: GPL-2.0

//! Devices behind units that are left out.
//!
//! No unit sees their requests: they reach all of memory, as without an IOMMU. The core is not told
//! of them, so that they are in no group, and no user can claim one. Nor can one have a device that
//! cannot be isolated from them: what is his could make such a neighbour reach anything.

use super::topology::{is_neighbour, requesters_of};
use kernel::prelude::*;
use kernel::sync::{new_mutex, Mutex};
use kernel_ext::log_warn;
use kernel_ext::pci::PciDevice;
use vtd_core::spec::address::{Segment, SourceId};

struct LeftOut {
    device: PciDevice,
    segment: u32,
    /// All requester IDs under which its requests may arrive.
    requesters: KVec<SourceId>,
}

struct List {
    devices: KVec<LeftOut>,
    /// Whether there was no memory for one.
    incomplete: bool,
}

/// The list.
#[pin_data]
pub(crate) struct LeftOutDevices {
    #[pin]
    list: Mutex<List>,
}

impl LeftOutDevices {
    /// None.
    pub(crate) fn new() -> impl PinInit<Self> {
        let list = List {
            devices: KVec::new(),
            incomplete: false,
        };
        pin_init!(Self {
            list <- new_mutex!(list, "vtd left-out devices"),
        })
    }

    /// Lists `device`, unless it is listed, and says so in the log. Process context.
    pub(crate) fn add(&self, device: PciDevice) {
        let mut list = self.list.lock();
        if list
            .devices
            .iter()
            .any(|other| other.device.is_same_as(&device))
        {
            return;
        }
        log_warn!(
            "{}: behind no unit, because its unit is left out: it can reach all of memory",
            device.as_device()
        );
        let listed = requesters_of(&device).and_then(|requesters| {
            let segment = device.properties().segment;
            let left_out = LeftOut {
                device,
                segment,
                requesters,
            };
            Ok(list.devices.push(left_out, GFP_KERNEL)?)
        });
        // One that is being removed meanwhile is nobody's neighbour.
        list.incomplete |= listed.is_err_and(|e| e != ENODEV);
    }

    /// There was no memory to find out whether a device belongs here.
    pub(crate) fn set_incomplete(&self) {
        self.list.lock().incomplete = true;
    }

    /// Takes a device out that was removed.
    pub(crate) fn remove(&self, device: &PciDevice) {
        self.list
            .lock()
            .devices
            .retain(|other| !other.device.is_same_as(device));
    }

    /// Takes all devices out.
    pub(crate) fn clear(&self) {
        drop(core::mem::take(&mut self.list.lock().devices));
    }

    /// Calls `f` with every device.
    pub(crate) fn for_each(&self, mut f: impl FnMut(&PciDevice)) {
        for left_out in self.list.lock().devices.iter() {
            f(&left_out.device);
        }
    }

    /// A device of the list that cannot be isolated from `device`: [near](is_neighbour) it, or with a
    /// requester ID in common. [`ENOMEM`] if the list is not complete.
    pub(super) fn find_neighbour(
        &self,
        device: &PciDevice,
        segment: Segment,
        requesters: &[SourceId],
        in_group: impl Fn(&PciDevice) -> bool,
    ) -> Result<Option<PciDevice>> {
        let list = self.list.lock();
        if list.incomplete {
            return Err(ENOMEM);
        }
        let found = list.devices.iter().find(|other| {
            let shared = other.segment == u32::from(segment.raw())
                && other.requesters.iter().any(|id| requesters.contains(id));
            shared || is_neighbour(&other.device, device, &in_group)
        });
        Ok(found.map(|other| other.device.clone()))
    }
}
