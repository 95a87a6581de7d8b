// SPDX-License-Identifier: GPL-2.0

//! The device-TLB of a device: whether it is used, and what an invalidation of it needs.

use super::topology::PciPath;
use crate::unit::Unit;
use core::fmt;
use kernel_ext::pci::PciDevice;
use vtd_core::ats_policy::{AtsChoice, AtsDecision, AtsFacts, AtsPlace, NoAts};
use vtd_core::dmar::Dmar;
use vtd_core::spec::address::SourceId;
use vtd_core::spec::registers::TranslationTableMode;

/// A device-TLB that is used while its device is attached to a domain.
#[derive(Clone, Copy)]
pub(crate) struct AtsDevice {
    /// How many invalidations the device takes at a time, as descriptors have it (MIP): 0 means 32.
    pub(crate) queue_depth: u8,
    /// By which requester ID the unit throttles (PFSID): that of the physical function, or 0 if the
    /// unit does not throttle (`ECAP.DIT`).
    pub(crate) physical_function: SourceId,
}

/// Whether the device-TLB of a device is used.
pub(crate) struct Ats {
    decision: AtsDecision,
    /// There is one exactly if the decision is that it is used.
    device: Option<AtsDevice>,
}

/// A device that is being probed.
pub(super) struct Probed<'a> {
    /// The device.
    pub(super) pci: &'a PciDevice,
    /// The device whose requester ID its requests have.
    pub(super) dma_device: &'a PciDevice,
    /// The path to it.
    pub(super) path: &'a PciPath,
    /// All requester IDs of its requests.
    pub(super) requesters: &'a [SourceId],
    /// The unit that serves it.
    pub(super) unit: &'a Unit,
}

impl Ats {
    /// Decides whether the device-TLB of `probed` is used, and if so, prepares the device for that.
    /// ATS stays off.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(super) fn find(dmar: &Dmar<'_>, choice: AtsChoice, probed: &Probed<'_>) -> Self {
        let Probed { pci, unit, .. } = *probed;
        let Some(capability) = pci.ats_capability() else {
            return Self::unused(NoAts::NoCapability);
        };
        let path = probed.path;
        let below_bridge = pci.is_below_conventional_bridge();
        let decision = AtsDecision::of(AtsFacts {
            choice,
            capability: true,
            untrusted: pci.properties().untrusted,
            physical_function: capability.supported,
            page_aligned: capability.page_aligned,
            required: capability.required,
            shares_requester: probed.requesters.len() != 1
                || !probed.dma_device.is_same_as(pci)
                || pci.is_alias_of_another(),
            place: AtsPlace::of(dmar, path.segment, &path.functions, below_bridge),
            unit: unit.ecap().device_tlb(),
            queue: unit.is_queued(),
            scalable: unit.mode() == TranslationTableMode::Scalable,
        });
        if !decision.is_used() {
            return Self {
                decision,
                device: None,
            };
        }
        if pci.prepare_ats().is_err() {
            return Self::unused(NoAts::PhysicalFunction);
        }
        let throttled_by = match unit.ecap().device_tlb_throttle() {
            true => capability.physical_function,
            false => 0,
        };
        Self {
            decision,
            device: Some(AtsDevice {
                queue_depth: capability.queue_depth & 0x1f,
                physical_function: SourceId::from_raw(throttled_by),
            }),
        }
    }

    fn unused(why: NoAts) -> Self {
        Self {
            decision: AtsDecision::Unused(why),
            device: None,
        }
    }

    /// Returns what invalidations of the device-TLB need, if it is used.
    pub(crate) fn device(&self) -> Option<&AtsDevice> {
        self.device.as_ref()
    }

    /// Returns whether there is a device-TLB, used or not.
    pub(crate) fn has_capability(&self) -> bool {
        self.decision != AtsDecision::Unused(NoAts::NoCapability)
    }
}

impl fmt::Display for Ats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.decision.fmt(f)
    }
}
