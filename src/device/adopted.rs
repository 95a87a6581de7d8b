// SPDX-License-Identifier: GPL-2.0

//! Adopted devices: those that were in use when the driver was loaded, and stay in pass-through.
//!
//! The core would warn about a device that is already bound, and would give it a domain whose
//! addresses its driver does not know. So an adopted device is not registered with the core. It has
//! no group, and a context entry that the driver installs lets all of its requests pass. The device
//! is adopted until it is removed. When it is found again, it is handled like any other device.
//!
//! The unit cannot distinguish devices that share a requester ID. So a device that shares one with
//! an adopted device is adopted as well, whether it has a driver or not.
//!
//! # Invariants
//!
//! While a device is in the list, the context entries of its requester IDs are pass-through. Before
//! it is removed from the list, they block.

use super::topology::{is_neighbour, requesters_of};
use crate::unit::{Translation, Unit, WasInstalled};
use kernel::prelude::*;
use kernel::sync::{new_mutex, Arc, Mutex};
use kernel_ext::log_dev_warn;
use kernel_ext::pci::PciDevice;
use vtd_core::spec::address::SourceId;

struct Adopted {
    device: PciDevice,
    unit: Arc<Unit>,
    requesters: KVec<SourceId>,
}

impl Adopted {
    /// Returns whether the device is behind `unit` and uses one of `requesters`.
    fn shares_requester_id(&self, unit: &Arc<Unit>, requesters: &[SourceId]) -> bool {
        Arc::ptr_eq(&self.unit, unit) && self.requesters.iter().any(|id| requesters.contains(id))
    }
}

/// The list of adopted devices.
#[pin_data]
pub(crate) struct AdoptedDevices {
    #[pin]
    list: Mutex<KVec<Adopted>>,
}

impl AdoptedDevices {
    /// Creates an empty list.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            list <- new_mutex!(KVec::new(), "vtd adopted devices"),
        })
    }

    /// Puts `device` in pass-through and adds it to the list.
    ///
    /// # Errors
    ///
    /// [`EINVAL`]: `unit` does not support pass-through. [`ENOMEM`] if an allocation fails.
    /// [`EIO`]: the unit has failed.
    ///
    /// # Context
    ///
    /// Process context.
    pub(crate) fn adopt(&self, device: PciDevice, unit: &Arc<Unit>) -> Result {
        let requesters = requesters_of(&device)?;
        let mut list = self.list.lock();
        list.reserve(1, GFP_KERNEL)?;
        unit.install(
            &requesters,
            WasInstalled::No,
            Translation::PassThrough,
            None,
        )
        .inspect_err(|e| match *e {
            EINVAL => log_dev_warn!(
                device.as_device(),
                "{}: cannot be left in pass-through: {} does not support it (ECAP.PT)",
                device.as_device(),
                &**unit
            ),
            _ => log_dev_warn!(
                device.as_device(),
                "{}: cannot be left in pass-through: {} has no context entry for it (error {})",
                device.as_device(),
                &**unit,
                e.to_errno()
            ),
        })?;
        log_dev_warn!(
            device.as_device(),
            "{}: left in pass-through because it was in use when vtd was loaded: it can reach all \
             of memory. Remove and rescan it to have it translated",
            device.as_device()
        );
        let _ = list.push_within_capacity(Adopted {
            device,
            unit: unit.clone(),
            requesters,
        });
        Ok(())
    }

    /// Adopts `device` if it shares a requester ID with an adopted device behind `unit`. Returns
    /// whether it adopted it.
    ///
    /// # Errors
    ///
    /// Those of [`Self::adopt`].
    ///
    /// # Context
    ///
    /// Process context.
    pub(crate) fn adopt_alias(&self, device: &PciDevice, unit: &Arc<Unit>) -> Result<bool> {
        if self.list.lock().is_empty() {
            return Ok(false);
        }
        let requesters = requesters_of(device)?;
        let other = {
            let list = self.list.lock();
            let found = list
                .iter()
                .find(|one| one.shares_requester_id(unit, &requesters));
            found.map(|one| one.device.clone())
        };
        let Some(other) = other else {
            return Ok(false);
        };
        self.adopt(device.clone(), unit)?;
        log_dev_warn!(
            device.as_device(),
            "{}: uses a requester ID of {}: remove both before a rescan",
            device.as_device(),
            other.as_device()
        );
        Ok(true)
    }

    /// Returns whether `device` was adopted.
    pub(crate) fn contains(&self, device: &PciDevice) -> bool {
        self.list
            .lock()
            .iter()
            .any(|one| one.device.is_same_as(device))
    }

    /// Returns an adopted device from which `device` cannot be isolated: the two are
    /// [neighbours](is_neighbour) or share a requester ID.
    pub(crate) fn find_neighbour(
        &self,
        device: &PciDevice,
        unit: &Arc<Unit>,
        requesters: &[SourceId],
        in_group: impl Fn(&PciDevice) -> bool,
    ) -> Option<PciDevice> {
        let list = self.list.lock();
        if list.is_empty() {
            return None;
        }
        let found = list.iter().find(|one| {
            one.shares_requester_id(unit, requesters)
                || is_neighbour(&one.device, device, &in_group)
        });
        found.map(|one| one.device.clone())
    }

    /// Handles the removal of an adopted device from the machine: removes it from the list, and
    /// blocks its requester IDs.
    pub(crate) fn remove(&self, device: &PciDevice) {
        let mut list = self.list.lock();
        let Some(at) = list.iter().position(|one| one.device.is_same_as(device)) else {
            return;
        };
        if let Ok(removed) = list.remove(at) {
            // A unit that has failed blocks the device as well.
            let _ = removed.unit.install(
                &removed.requesters,
                WasInstalled::Yes,
                Translation::Blocked,
                None,
            );
        }
    }

    /// Removes all devices from the list, after translation was turned off. They keep running as
    /// before.
    pub(crate) fn clear(&self) {
        drop(core::mem::take(&mut *self.list.lock()));
    }

    /// Calls `f` with every adopted device behind `unit`.
    pub(crate) fn for_each_behind(&self, unit: &Unit, mut f: impl FnMut(&PciDevice)) {
        for one in self.list.lock().iter() {
            if core::ptr::eq(&*one.unit, unit) {
                f(&one.device);
            }
        }
    }

    /// Calls `f` with every adopted device.
    pub(crate) fn for_each(&self, mut f: impl FnMut(&PciDevice)) {
        for one in self.list.lock().iter() {
            f(&one.device);
        }
    }
}
