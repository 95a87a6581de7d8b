// SPDX-License-Identifier: GPL-2.0

//! Devices that were running when the driver was loaded, and run on untranslated.
//!
//! The core would warn of a device that it meets bound, and would give it a domain whose addresses
//! its driver does not know. So it is not told of an adopted device: there is no group, and the
//! driver's own entry lets all of its requests pass. Removing the device ends that; found again, it
//! is a device like others.
//!
//! # Invariants
//!
//! While a device is in the list, the context entries of its requester IDs pass everything; before
//! it is taken out, they block.

use super::probe::requesters_of;
use crate::unit::{Claimed, Translation, Unit};
use kernel::prelude::*;
use kernel::sync::{new_mutex, Arc, Mutex};
use kernel_ext::log_warn;
use kernel_ext::pci::PciDevice;
use vtd_core::spec::address::SourceId;

struct Adopted {
    device: PciDevice,
    unit: Arc<Unit>,
    requesters: KVec<SourceId>,
}

/// The list.
#[pin_data]
pub(crate) struct AdoptedDevices {
    #[pin]
    list: Mutex<KVec<Adopted>>,
}

impl AdoptedDevices {
    /// None.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            list <- new_mutex!(KVec::new(), "vtd adopted devices"),
        })
    }

    /// Lets `device` pass untranslated. [`EINVAL`] if `unit` cannot do that. Process context.
    pub(crate) fn adopt(&self, device: PciDevice, unit: &Arc<Unit>) -> Result {
        let requesters = requesters_of(&device)?;
        let mut list = self.list.lock();
        list.reserve(1, GFP_KERNEL)?;
        unit.install(&requesters, Claimed::No, Translation::PassThrough)
            .inspect_err(|_| {
                log_warn!(
                    "{}: cannot run on: {} has no pass-through",
                    device.as_device(),
                    &**unit
                );
            })?;
        log_warn!(
            "{}: runs on untranslated, as it was when vtd was loaded: it can reach all of memory. \
             Remove and rescan it to have it translated",
            device.as_device()
        );
        let _ = list.push_within_capacity(Adopted {
            device,
            unit: unit.clone(),
            requesters,
        });
        Ok(())
    }

    /// Whether `device` was adopted.
    pub(crate) fn has(&self, device: &PciDevice) -> bool {
        self.list.lock().iter().any(|one| one.device.is(device))
    }

    /// An adopted device that cannot be told from `device` by what they can reach of each other:
    /// on the same bus, or with a requester ID in common.
    pub(crate) fn beside(&self, device: &PciDevice, requesters: &[SourceId]) -> Option<PciDevice> {
        let list = self.list.lock();
        if list.is_empty() {
            return None;
        }
        let facts = device.facts();
        let found = list.iter().find(|one| {
            let other = one.device.facts();
            let same_slot = other.segment == facts.segment
                && other.requester >> 3 == facts.requester >> 3
                && other.requester != facts.requester;
            same_slot || one.requesters.iter().any(|id| requesters.contains(id))
        });
        found.map(|one| one.device.clone())
    }

    /// Takes a device out that was removed; it is blocked from here on.
    pub(crate) fn remove(&self, device: &PciDevice) {
        let mut list = self.list.lock();
        let Some(at) = list.iter().position(|one| one.device.is(device)) else {
            return;
        };
        if let Ok(gone) = list.remove(at) {
            // A unit that fails has blocked the device as well.
            let _ = gone
                .unit
                .install(&gone.requesters, Claimed::Yes, Translation::Blocked);
        }
    }

    /// Takes all devices out: translation is off, and they run on as before.
    pub(crate) fn forget_all(&self) {
        drop(core::mem::take(&mut *self.list.lock()));
    }

    /// Calls `f` with every device.
    pub(crate) fn for_each(&self, mut f: impl FnMut(&PciDevice)) {
        for one in self.list.lock().iter() {
            f(&one.device);
        }
    }
}
