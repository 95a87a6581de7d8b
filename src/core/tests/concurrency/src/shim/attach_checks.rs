// SPDX-License-Identifier: GPL-2.0

//! The checks of an attach other than the group records: in the model, nothing is adopted, left
//! out, reserved or lost.

use super::iommu::RegionKind;
use super::prelude::Result;

pub(crate) struct AccessControl;

impl AccessControl {
    pub(crate) fn hold_for_attach(&self) {}
}

pub(crate) struct UntranslatedDevices;

pub(crate) fn refuse_neighbour_of_untranslated<D, C>(_: &D, _: &C) -> Result {
    Ok(())
}

pub(crate) struct AddressHistory;

pub(crate) struct RateLimit;

impl RateLimit {
    pub(crate) fn allow_line(&self) -> Option<&'static str> {
        Some("")
    }

    pub(crate) fn may_announce(&self) -> bool {
        false
    }
}

pub(crate) struct ReservedRegion {
    pub(crate) start: u64,
    pub(crate) bytes: u64,
    pub(crate) kind: RegionKind,
    pub(crate) in_use: bool,
}
