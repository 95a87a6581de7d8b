// SPDX-License-Identifier: GPL-2.0

//! Devices behind units that are left out.
//!
//! No unit sees their requests, so they reach all of memory, as without an IOMMU. They are not
//! registered with the core, so they are in no group, and no user can claim one. A user cannot have
//! a device either that cannot be isolated from them: the user's device could make such a neighbour
//! access any memory.

use super::topology::{is_neighbour, requesters_of};
use kernel::prelude::*;
use kernel::sync::{new_mutex, Mutex};
use kernel_ext::log_dev_warn;
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
    /// Whether there was not enough memory to list a device.
    incomplete: bool,
}

/// The list of devices behind units that are left out.
#[pin_data]
pub(crate) struct LeftOutDevices {
    #[pin]
    list: Mutex<List>,
}

impl LeftOutDevices {
    /// Creates an empty list.
    pub(crate) fn new() -> impl PinInit<Self> {
        let list = List {
            devices: KVec::new(),
            incomplete: false,
        };
        pin_init!(Self {
            list <- new_mutex!(list, "vtd left-out devices"),
        })
    }

    /// Adds `device` to the list, unless it is listed already, and logs that.
    ///
    /// # Context
    ///
    /// Process context.
    pub(crate) fn add(&self, device: PciDevice) {
        let mut list = self.list.lock();
        if list
            .devices
            .iter()
            .any(|other| other.device.is_same_as(&device))
        {
            return;
        }
        log_dev_warn!(
            device.as_device(),
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
        // A device that is being removed concurrently (ENODEV) is no neighbour of any other.
        list.incomplete |= listed.is_err_and(|e| e != ENODEV);
    }

    /// Records that there was not enough memory to find out whether a device belongs in the list.
    pub(crate) fn set_incomplete(&self) {
        self.list.lock().incomplete = true;
    }

    /// Removes a device from the list that was removed from the machine.
    pub(crate) fn remove(&self, device: &PciDevice) {
        self.list
            .lock()
            .devices
            .retain(|other| !other.device.is_same_as(device));
    }

    /// Removes all devices from the list.
    pub(crate) fn clear(&self) {
        drop(core::mem::take(&mut self.list.lock().devices));
    }

    /// Calls `f` with every device in the list.
    pub(crate) fn for_each(&self, mut f: impl FnMut(&PciDevice)) {
        for left_out in self.list.lock().devices.iter() {
            f(&left_out.device);
        }
    }

    /// Returns a device in the list from which `device` cannot be isolated: it is
    /// [near](is_neighbour) it, or they share a requester ID.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`]: the list is incomplete.
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
