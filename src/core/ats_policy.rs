// SPDX-License-Identifier: GPL-2.0

//! Whether a device may use its device-TLB, in which it keeps translations that it requested (ATS,
//! VT-d 4.1).
//!
//! A request with a kept translation bypasses the unit's tables: until the device has answered an
//! invalidation, it reaches the page that it was given. So a device-TLB is used only where that is
//! wanted, and never by an untrusted device, or one for which an invalidation could reach
//! another device.

use crate::dmar::Dmar;
use crate::spec::address::{Segment, SourceId};
use core::fmt;

/// The module parameter `ats`: which device-TLBs the user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtsChoice {
    /// 0: none.
    Never,
    /// 1: those without which a device does not work.
    WhereNeeded,
    /// 2: all that can be used.
    WherePossible,
}

impl AtsChoice {
    /// Returns the choice that a value of the parameter means, or `None` if it is not valid.
    pub const fn from_parameter(value: i32) -> Option<Self> {
        match value {
            0 => Some(Self::Never),
            1 => Some(Self::WhereNeeded),
            2 => Some(Self::WherePossible),
            _ => None,
        }
    }
}

/// A device's place, as far as it decides about its device-TLB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AtsPlace {
    /// Below a PCI Express to PCI bridge, or a conventional one. Neither passes ATS messages.
    BelowBridge,
    /// Integrated, with a device-TLB that firmware lists (SATC).
    Listed {
        /// ATC_REQUIRED: the device needs it.
        required: bool,
    },
    /// Integrated: on a root bus.
    Integrated,
    /// Below a root port.
    BelowPort {
        /// Whether firmware says that the port takes requests for translations (ATSR).
        takes_requests: bool,
    },
}

impl AtsPlace {
    /// Returns the place of the device at the end of `chain`, the path to it as for
    /// [`Dmar::unit_for`]. `below_bridge`: whether one of the bridges above it is not PCI Express
    /// on both sides.
    pub fn of(dmar: &Dmar<'_>, segment: Segment, chain: &[SourceId], below_bridge: bool) -> Self {
        if below_bridge {
            return Self::BelowBridge;
        }
        if let Some(required) = dmar.device_tlb(segment, chain) {
            return Self::Listed { required };
        }
        match chain {
            [] | [_] => Self::Integrated,
            _ => Self::BelowPort {
                takes_requests: dmar.takes_translation_requests(segment, chain),
            },
        }
    }
}

/// What decides about the device-TLB of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtsFacts {
    /// What the user chose.
    pub choice: AtsChoice,
    /// Whether the kernel uses the device's ATS capability: there is one, and `pci=noats` was not
    /// given.
    pub capability: bool,
    /// Whether the device is untrusted.
    pub untrusted: bool,
    /// Whether its physical function supports ATS too; true for a function that is not virtual.
    pub physical_function: bool,
    /// Whether its requests are aligned to pages (Page Aligned Request). VT-d requires that.
    pub page_aligned: bool,
    /// Whether it does not work without (CXL, or a quirk of the kernel).
    pub required: bool,
    /// Whether another device may send requests with its requester ID, or it with that of another.
    pub shares_requester: bool,
    /// Its place.
    pub place: AtsPlace,
    /// Whether its unit supports device-TLBs (`ECAP.DT`).
    pub unit: bool,
    /// Whether its unit uses its invalidation queue. Nothing else invalidates device-TLBs.
    pub queue: bool,
    /// Whether its unit is in scalable mode.
    pub scalable: bool,
}

/// Why a device's device-TLB is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WhyAts {
    /// Firmware says that the device needs it (SATC, ATC_REQUIRED).
    Firmware,
    /// The device itself needs it.
    Device,
    /// The user wants it wherever it is possible.
    Chosen,
}

/// Why a device's device-TLB is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoAts {
    /// It has no ATS capability that the kernel uses.
    NoCapability,
    /// It is untrusted.
    Untrusted,
    /// Its physical function does not support ATS, or is not prepared for it.
    PhysicalFunction,
    /// Its unit does not support device-TLBs.
    Unit,
    /// Its unit does not use an invalidation queue.
    NoQueue,
    /// A bridge above it does not pass ATS messages.
    BelowBridge,
    /// Its requester ID does not belong to it alone.
    SharedRequester,
    /// Its root port does not take requests for translations.
    Port,
    /// Its requests for translations are not aligned to pages.
    NotPageAligned,
    /// In legacy mode hardware enables and invalidates it without software.
    ByHardware,
    /// The user wants none; whether the device needs it.
    NotWanted {
        /// Whether the device needs it.
        needed: bool,
    },
    /// It is not needed, and the user wants those that are.
    NotNeeded,
}

/// Whether a device's device-TLB is used, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AtsDecision {
    /// It is used.
    Used(WhyAts),
    /// It is not used.
    Unused(NoAts),
}

impl AtsDecision {
    /// Decides for one device.
    pub fn of(facts: AtsFacts) -> Self {
        use AtsPlace as Place;
        let required = facts.place == Place::Listed { required: true };
        let port = Place::BelowPort {
            takes_requests: false,
        };
        let obstacles = [
            (!facts.capability, NoAts::NoCapability),
            (facts.untrusted, NoAts::Untrusted),
            (!facts.physical_function, NoAts::PhysicalFunction),
            (!facts.unit, NoAts::Unit),
            (!facts.queue, NoAts::NoQueue),
            (facts.place == Place::BelowBridge, NoAts::BelowBridge),
            (facts.shares_requester, NoAts::SharedRequester),
            (facts.place == port, NoAts::Port),
            (!facts.page_aligned, NoAts::NotPageAligned),
            (required && !facts.scalable, NoAts::ByHardware),
        ];
        if let Some((_, obstacle)) = obstacles.into_iter().find(|(is_there, _)| *is_there) {
            return Self::Unused(obstacle);
        }
        let needed = match (required, facts.required) {
            (true, _) => Some(WhyAts::Firmware),
            (false, true) => Some(WhyAts::Device),
            (false, false) => None,
        };
        match (facts.choice, needed) {
            (AtsChoice::Never, _) => Self::Unused(NoAts::NotWanted {
                needed: needed.is_some(),
            }),
            (_, Some(why)) => Self::Used(why),
            (AtsChoice::WherePossible, None) => Self::Used(WhyAts::Chosen),
            (AtsChoice::WhereNeeded, None) => Self::Unused(NoAts::NotNeeded),
        }
    }

    /// Returns whether it is used.
    pub const fn is_used(self) -> bool {
        matches!(self, Self::Used(_))
    }
}

impl fmt::Display for WhyAts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Firmware => "firmware says that the device needs it (SATC)",
            Self::Device => "the device does not work without it",
            Self::Chosen => "as chosen by ats=2",
        })
    }
}

impl fmt::Display for NoAts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCapability => "the device has none, or pci=noats was given",
            Self::Untrusted => "the device is untrusted",
            Self::PhysicalFunction => "its physical function does not use ATS",
            Self::Unit => "the unit does not support device-TLBs (ECAP.DT)",
            Self::NoQueue => "the unit does not use an invalidation queue",
            Self::BelowBridge => "it is below a bridge that does not pass ATS",
            Self::SharedRequester => "its requester ID is shared with another device",
            Self::Port => "firmware lists no ATS for its root port (ATSR)",
            Self::NotPageAligned => "its requests for translations are not aligned to pages",
            Self::ByHardware => "in legacy mode hardware controls it without software (SATC)",
            Self::NotWanted { needed: false } => "as chosen by ats=0",
            Self::NotWanted { needed: true } => "as chosen by ats=0, although the device needs it",
            Self::NotNeeded => "the device does not need it, and ats=2 was not given",
        })
    }
}

impl fmt::Display for AtsDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Used(why) => write!(f, "used: {why}"),
            Self::Unused(why) => write!(f, "not used: {why}"),
        }
    }
}
