// SPDX-License-Identifier: GPL-2.0

//! Probing a device: its requester IDs and reserved regions are determined, and its tables are
//! allocated.

use super::access_control::AccessControl;
use super::ats::{Ats, AtsDevice, Probed};
use super::attachment::DeviceState;
use super::chipset::Chipset;
use super::cut_off::CutOff;
use super::info::DeviceInfo;
use super::ownership::Ownership;
use super::rate_limit::RateLimit;
use super::regions::reserved_regions_of;
use super::topology::{requesters_of, PciPath};
use super::untranslated::UntranslatedDevices;
use crate::unit::{DeviceTlb, DeviceTlbAddress, Unit};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use kernel::prelude::*;
use kernel::sync::{new_mutex, Arc};
use kernel_ext::pci::PciDevice;
use vtd_core::ats_policy::AtsChoice;
use vtd_core::dmar::Dmar;
use vtd_core::spec::address::{Segment, SourceId};

/// The number of the next device.
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(0);

/// Records that all devices share.
pub(crate) struct SharedRecords {
    /// The records of all groups.
    pub(crate) ownership: Arc<Ownership>,
    /// The devices that no unit translates.
    pub(crate) untranslated: Arc<UntranslatedDevices>,
    /// The access control of all devices.
    pub(crate) access_control: Arc<AccessControl>,
}

/// Adds the TLB of a device to the list of its unit, if it is used.
fn add_device_tlb(
    unit: &Unit,
    pci: &PciDevice,
    ats: &Ats,
    source: SourceId,
) -> Result<Option<Arc<DeviceTlb>>> {
    let add = |device: &AtsDevice| {
        let address = DeviceTlbAddress {
            source,
            physical_function: device.physical_function,
            queue_depth: device.queue_depth,
        };
        unit.add_device_tlb(pci.clone(), address)
    };
    ats.device().map(add).transpose()
}

/// Creates the [`DeviceInfo`] of `pci`, which `unit` serves and `path` leads to. The device is
/// blocked, and ATS is off. The core forms its group immediately afterwards.
///
/// # Errors
///
/// [`ENOMEM`] if an allocation fails. [`ENODEV`]: the device is being removed, or firmware cannot
/// name its segment.
///
/// # Context
///
/// May sleep.
pub(crate) fn probe(
    dmar: &Dmar<'_>,
    pci: PciDevice,
    path: &PciPath,
    unit: Arc<Unit>,
    shared: SharedRecords,
    chipset: &Chipset,
    ats: AtsChoice,
) -> Result<Arc<DeviceInfo>> {
    shared.access_control.record_required(&pci);
    let requesters = requesters_of(&pci)?;
    let regions = reserved_regions_of(dmar, &pci, path, chipset.relaxes(path))?;
    let dma_device = pci.dma_device().ok_or(ENODEV)?;
    let properties = dma_device.properties();
    let segment = u16::try_from(properties.segment).map_err(|_| ENODEV)?;
    let driver = pci.as_device().driver();
    unit.prepare(&requesters)?;
    let probed = Probed {
        pci: &pci,
        dma_device: &dma_device,
        path,
        requesters: &requesters,
        unit: &unit,
    };
    let ats = Ats::find(dmar, ats, &probed);
    let source = SourceId::from_raw(properties.requester);
    let device_tlb = add_device_tlb(&unit, &pci, &ats, source)?;
    let added = device_tlb.clone().map(|tlb| (unit.clone(), tlb));
    Arc::pin_init(
        pin_init!(DeviceInfo {
            number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
            unit,
            untrusted: pci.properties().untrusted,
            identity_reason: chipset.identity_reason(path),
            pci,
            segment: Segment::new(segment),
            source,
            requesters,
            ats,
            device_tlb,
            cut_off: CutOff::default(),
            regions,
            bound_before: AtomicBool::new(driver.is_some_and(|driver| !driver.driver_managed_dma)),
            ownership: shared.ownership,
            untranslated: shared.untranslated,
            access_control: shared.access_control,
            state <- new_mutex!(DeviceState::new(), "vtd device state"),
            log_limit <- RateLimit::new(),
            fault_limit <- RateLimit::new(),
        }),
        GFP_KERNEL,
    )
    .inspect_err(|_| {
        added
            .iter()
            .for_each(|(unit, tlb)| unit.remove_device_tlb(tlb))
    })
}
