// SPDX-License-Identifier: GPL-2.0

//! A device appears: which unit serves it, and under which requester IDs.

use super::access_control::AccessControl;
use super::info::{DeviceInfo, State, Use};
use super::ownership::Ownership;
use super::rate_limit::RateLimit;
use super::regions::regions_of;
use super::topology::Chain;
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

/// Makes what the driver keeps of `pci`, which `unit` serves and `chain` leads to. Its group is formed right after.
pub(crate) fn probe(
    dmar: &Dmar<'_>,
    pci: PciDevice,
    chain: &Chain,
    unit: Arc<Unit>,
    ownership: Arc<Ownership>,
    access_control: Arc<AccessControl>,
    identity: Option<Identity>,
) -> Result<Arc<DeviceInfo>> {
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
            access_control,
            state <- new_mutex!(state, "vtd device state"),
            log <- RateLimit::new(),
            fault_reports <- RateLimit::new(),
        }),
        GFP_KERNEL,
    )
}

/// Every requester ID that `pci` may speak with, its own first.
pub(super) fn requesters_of(pci: &PciDevice) -> Result<KVec<SourceId>> {
    let dma_device = pci.dma_device().ok_or(ENODEV)?;
    let mut requesters = KVec::new();
    dma_device.for_each_requester(|requester| {
        let source = SourceId::from_raw(requester);
        if !requesters.contains(&source) {
            requesters.push(source, GFP_KERNEL)?;
        }
        Ok(())
    })?;
    Ok(requesters)
}
