// SPDX-License-Identifier: GPL-2.0

//! What the driver keeps for one device.

use super::access_control::AccessControl;
use super::ats::Ats;
use super::attachment::{AttachedDomain, DeviceState};
use super::cut_off::CutOff;
use super::ownership::Ownership;
use super::rate_limit::RateLimit;
use super::regions::ReservedRegion;
use super::untranslated::UntranslatedDevices;
use crate::unit::{DeviceTlb, RequesterEntries, Unit};
use core::fmt;
use core::sync::atomic::AtomicBool;
use kernel::prelude::*;
use kernel::sync::{Arc, Mutex};
use kernel_ext::iommu::Group;
use kernel_ext::log_dev_err;
use kernel_ext::pci::PciDevice;
use vtd_core::quirks::IdentityReason;
use vtd_core::spec::address::{Segment, SourceId};

/// One device behind a unit.
#[pin_data]
pub(crate) struct DeviceInfo {
    /// A number that no other device has or had.
    pub(crate) number: u64,
    /// The unit that serves it.
    pub(crate) unit: Arc<Unit>,
    /// The device itself.
    pub(crate) pci: PciDevice,
    /// Its segment.
    pub(crate) segment: Segment,
    /// Its own requester ID.
    pub(crate) source: SourceId,
    /// Whether it is untrusted, as firmware or the PCI core marked it when it was found.
    pub(crate) untrusted: bool,
    /// The reason why its default domain is always an identity domain, if there is one.
    pub(crate) identity_reason: Option<IdentityReason>,
    /// All requester IDs under which its requests may arrive, its own first.
    pub(crate) requesters: KVec<SourceId>,
    /// Whether its device-TLB is used.
    pub(crate) ats: Ats,
    /// Its TLB, if it may use it.
    pub(crate) device_tlb: Option<Arc<DeviceTlb>>,
    /// What was done with it if it was cut off.
    pub(super) cut_off: CutOff,
    /// Its reserved IOVA regions.
    pub(crate) regions: KVec<ReservedRegion>,
    /// Whether the bound driver was bound before vtd was loaded.
    pub(super) bound_before: AtomicBool,
    /// The records of all groups.
    pub(crate) ownership: Arc<Ownership>,
    /// The devices that no unit translates.
    pub(super) untranslated: Arc<UntranslatedDevices>,
    /// The access control of all devices.
    pub(super) access_control: Arc<AccessControl>,
    /// The state that attach changes.
    #[pin]
    pub(crate) state: Mutex<DeviceState>,
    /// Limits the log lines that users' requests for this device cause.
    #[pin]
    pub(crate) log_limit: RateLimit,
    /// Limits the reports of its faults.
    #[pin]
    pub(crate) fault_limit: RateLimit,
}

impl DeviceInfo {
    /// Returns its segment and requester ID, by which devices are also sorted.
    pub(crate) fn location(&self) -> (Segment, SourceId) {
        (self.segment, self.source)
    }

    /// Returns the domain with page tables that it is attached to, if there is one.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn domain(&self) -> Option<Arc<dyn AttachedDomain>> {
        self.state.lock().domain.clone()
    }

    /// Reserves capacity for the device in the record of its group, so that no attach needs memory.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn join_group(&self, group: Group) -> Result {
        let mut groups = self.ownership.lock();
        groups.reserve_member(group.id())?;
        let mut state = self.state.lock();
        state.attach.group_id = Some(group.id());
        state.group = Some(group);
        Ok(())
    }

    /// Returns whether its group has an owner, see [`Group::is_owned`].
    ///
    /// # Context
    ///
    /// May sleep. Must not be called with the group's mutex held, nor with a lock that is taken
    /// under it.
    pub(crate) fn group_is_owned(&self) -> bool {
        let group = self.state.lock().group.clone();
        group.is_some_and(|group| group.is_owned())
    }

    /// Reads the unit's entries for `source`, one of the device's requester IDs, and the domain
    /// whose tables these should point to. Both are from the same moment.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn read_entries(
        &self,
        source: SourceId,
    ) -> (RequesterEntries, Option<Arc<dyn AttachedDomain>>) {
        let state = self.state.lock();
        (self.unit.entries(source), state.domain.clone())
    }
}

impl DeviceInfo {
    /// Logs that the unit had no domain-id left, if `error` is [`ENOSPC`].
    pub(crate) fn explain_no_domain_id(&self, error: Error) {
        if error != ENOSPC {
            return;
        }
        if let Some(note) = self.log_limit.allow_line() {
            log_dev_err!(
                self.pci.as_device(),
                "{}: {self} cannot be attached: {} of the unit's domain-ids are in use, and any \
                 that are left are reserved for default domains. Take devices back from users, \
                 then try again{note}",
                &*self.unit,
                self.unit.domains_used()
            )
        }
    }
}

impl fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.pci.as_device(), f)
    }
}
