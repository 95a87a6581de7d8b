// SPDX-License-Identifier: GPL-2.0

//! What an attach looks at besides the accounts: nothing is adopted, left out, reserved or lost here.

use super::group_unit::Unit;
use super::iommu::RegionKind;
use super::pci::PciDevice;
use super::prelude::Result;
use std::sync::Arc;
use vtd_core::spec::address::SourceId;

pub(crate) struct AccessControl;

impl AccessControl {
    pub(crate) fn hold_for_attach(&self) {}
}

pub(crate) struct AdoptedDevices;

impl AdoptedDevices {
    pub(crate) fn new() -> Self {
        Self
    }

    pub(crate) fn beside(
        &self,
        _: &PciDevice,
        _: &Arc<Unit>,
        _: &[SourceId],
        _: impl Fn(&PciDevice) -> bool,
    ) -> Option<PciDevice> {
        None
    }
}

pub(crate) struct LeftOutDevices;

impl LeftOutDevices {
    pub(crate) fn new() -> Self {
        Self
    }

    pub(crate) fn refuse_beside<T, F>(&self, _: &T, _: &F) -> Result {
        Ok(())
    }
}

pub(crate) struct Past;

pub(crate) struct RateLimit;

impl RateLimit {
    pub(crate) fn ask(&self) -> Option<&'static str> {
        Some("")
    }

    pub(crate) fn may_announce(&self) -> bool {
        false
    }
}

pub(crate) struct Region {
    pub(crate) start: u64,
    pub(crate) bytes: u64,
    pub(crate) kind: RegionKind,
}
