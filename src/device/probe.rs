// SPDX-License-Identifier: GPL-2.0

//! A device appears: which unit serves it, and under which requester IDs.

use super::access_control::AccessControl;
use super::attachment::{State, Use};
use super::info::DeviceInfo;
use super::ownership::Ownership;
use super::rate_limit::RateLimit;
use super::regions::regions_of;
use super::topology::{requesters_of, Chain};
use super::untranslated::UntranslatedDevices;
use crate::unit::Unit;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use kernel::prelude::*;
use kernel::sync::{new_mutex, Arc};
use kernel_ext::pci::PciDevice;
use vtd_core::dmar::Dmar;
use vtd_core::ownership::State as Owned;
use vtd_core::quirks::Identity;
use vtd_core::spec::address::{Segment, SourceId};

/// The number of the next device.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// What is kept once for all devices.
pub(crate) struct SharedRecords {
    /// The accounts of all groups.
    pub(crate) ownership: Arc<Ownership>,
    /// The devices that no unit translates.
    pub(crate) untranslated: Arc<UntranslatedDevices>,
    /// The access control of all devices.
    pub(crate) access_control: Arc<AccessControl>,
}

/// Makes what the driver keeps of `pci`, which `unit` serves and `chain` leads to. Its group is formed right after.
pub(crate) fn probe(
    dmar: &Dmar<'_>,
    pci: PciDevice,
    chain: &Chain,
    unit: Arc<Unit>,
    shared: SharedRecords,
    identity: Option<Identity>,
) -> Result<Arc<DeviceInfo>> {
    let SharedRecords {
        ownership,
        untranslated,
        access_control,
    } = shared;
    access_control.rely_on(&pci);
    let requesters = requesters_of(&pci)?;
    let regions = regions_of(dmar, &pci, chain)?;
    let dma_device = pci.dma_device().ok_or(ENODEV)?;
    let facts = dma_device.properties();
    let segment = u16::try_from(facts.segment).map_err(|_| ENODEV)?;
    let driver = pci.as_device().driver();
    let state = State {
        is: Use::Blocked,
        domain_id: 0,
        owned: Owned::Blocked,
        attached: None,
        came_from: None,
        took_along: None,
        group: None,
        counted: false,
    };
    unit.prepare(&requesters)?;
    Arc::pin_init(
        pin_init!(DeviceInfo {
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            unit,
            untrusted: pci.properties().untrusted,
            identity,
            pci,
            segment: Segment::new(segment),
            source: SourceId::from_raw(facts.requester),
            requesters,
            regions,
            bound_before: AtomicBool::new(driver.is_some_and(|driver| !driver.manages_dma)),
            ownership,
            untranslated,
            access_control,
            state <- new_mutex!(state, "vtd device state"),
            log <- RateLimit::new(),
            fault_reports <- RateLimit::new(),
        }),
        GFP_KERNEL,
    )
}
