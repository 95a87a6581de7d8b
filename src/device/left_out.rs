// SPDX-License-Identifier: GPL-2.0

//! Devices behind units that are left out.
//!
//! No unit sees their requests: they reach all of memory, as without an IOMMU. The core is not told
//! of them, so that they are in no group, and no user can claim one. Nor can one have a device that
//! cannot be isolated from them: what is his could make such a neighbour reach anything.

use super::adopted::is_near;
use super::info::DeviceInfo;
use super::probe::requesters_of;
use kernel::prelude::*;
use kernel::sync::{new_mutex, Mutex};
use kernel_ext::log_warn;
use kernel_ext::pci::PciDevice;
use vtd_core::spec::address::SourceId;

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
        if list.devices.iter().any(|other| other.device.is(&device)) {
            return;
        }
        log_warn!(
            "{}: behind no unit, as its own is left out: it reaches all of memory",
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
    pub(crate) fn is_incomplete(&self) {
        self.list.lock().incomplete = true;
    }

    /// Takes a device out that was removed.
    pub(crate) fn remove(&self, device: &PciDevice) {
        self.list
            .lock()
            .devices
            .retain(|other| !other.device.is(device));
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

    /// [`EBUSY`], with the reason in the log, if `info` cannot be isolated from a device that is
    /// listed: [near](is_near) it, or with a requester ID in common.
    pub(super) fn refuse_beside(
        &self,
        info: &DeviceInfo,
        in_group: &impl Fn(&PciDevice) -> bool,
    ) -> Result {
        let list = self.list.lock();
        if list.incomplete {
            if let Some(note) = info.log.ask() {
                log_warn!(
                    "{}: {info} cannot be given to a user: no memory to list its neighbours{note}",
                    &*info.unit
                );
            }
            return Err(EBUSY);
        }
        for other in list.devices.iter() {
            let shared = other.segment == u32::from(info.segment.raw())
                && other
                    .requesters
                    .iter()
                    .any(|id| info.requesters.contains(id));
            if shared || is_near(&other.device, &info.pci, in_group) {
                if let Some(note) = info.log.ask() {
                    log_warn!(
                        "{}: {info} cannot be given to a user: {}, which cannot be isolated from \
                         it, is behind no unit{note}",
                        &*info.unit,
                        other.device.as_device()
                    );
                }
                return Err(EBUSY);
            }
        }
        Ok(())
    }
}
