// SPDX-License-Identifier: GPL-2.0

//! Whether a unit remaps interrupts, and what that guarantees.
//!
//! A unit that remaps refuses every interrupt request that names no entry of its table, or an entry
//! of another device. But requests in compatibility format name no entry. The interrupts of
//! IO-APICs and HPETs were set up in that format while the kernel booted, and a module cannot
//! change them; nor can it change those of a device that stays in pass-through with its driver.
//! Behind a unit with one of these, requests in that format must pass, so any device behind it can
//! forge one. The devices behind all other units are isolated: each can raise only its own
//! interrupts. Unless the user wants it, a unit whose devices would not be isolated does not remap.

use crate::spec::interrupt::ApicMode;
use core::fmt;

/// What decides how a unit treats interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterruptFacts {
    /// Whether the user wants interrupts to be remapped.
    pub wanted: bool,
    /// Whether the user wants that also where it does not isolate devices.
    pub wanted_anyway: bool,
    /// Whether the DMAR table says that the platform supports it (INTR_REMAP).
    pub platform: bool,
    /// Whether the unit supports it (`ECAP.IR`).
    pub unit: bool,
    /// Whether invalidations go through the unit's queue. Nothing else invalidates its cache of
    /// interrupt entries.
    pub queue: bool,
    /// Whether this chipset's interrupt remapping is known not to work.
    pub erratum: bool,
    /// Whether the unit has destinations of 32 bits (`ECAP.EIM`).
    pub extended: bool,
    /// Whether the processors' APICs are in x2APIC mode.
    pub x2apic: bool,
    /// What needs requests in compatibility format, if anything does.
    pub compatibility: Option<CompatibilityUser>,
}

/// What needs interrupt requests in compatibility format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompatibilityUser {
    /// The IO-APIC with this APIC ID.
    IoApic(u8),
    /// The HPET with this number.
    Hpet(u8),
    /// A device that stays in pass-through with the driver that was bound at load.
    AdoptedDevice,
}

/// Why a unit does not remap interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotRemapped {
    /// The user chose so.
    NotWanted,
    /// The unit does not support it.
    Unit,
    /// The DMAR table denies it.
    Platform,
    /// This chipset's interrupt remapping does not work.
    Erratum,
    /// The unit has no queue, or does not use it.
    NoQueue,
    /// The unit cannot name the destinations of x2APIC mode.
    NotExtended,
    /// In x2APIC mode requests in compatibility format are always blocked, and this needs them.
    Blocks(CompatibilityUser),
    /// It would not isolate devices, because this needs requests in compatibility format.
    NotIsolated(CompatibilityUser),
    /// The unit does not execute the command to let requests in compatibility format pass, and this
    /// needs them.
    NoCompatibility(CompatibilityUser),
}

/// How a unit treats interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InterruptPolicy {
    /// They are not remapped.
    Off(NotRemapped),
    /// They are remapped; the field says what needs requests in compatibility format, if anything
    /// does. They then pass, and devices are not isolated.
    Remapped(ApicMode, Option<CompatibilityUser>),
}

impl InterruptPolicy {
    /// Decides for one unit.
    pub fn of(facts: InterruptFacts) -> Self {
        use NotRemapped as Not;
        let obstacles = [
            (!facts.wanted, Not::NotWanted),
            (!facts.unit, Not::Unit),
            (!facts.platform, Not::Platform),
            (facts.erratum, Not::Erratum),
            (!facts.queue, Not::NoQueue),
            (facts.x2apic && !facts.extended, Not::NotExtended),
        ];
        if let Some((_, obstacle)) = obstacles.into_iter().find(|(is_there, _)| *is_there) {
            return Self::Off(obstacle);
        }
        match (facts.x2apic, facts.compatibility) {
            (true, Some(user)) => Self::Off(Not::Blocks(user)),
            (true, None) => Self::Remapped(ApicMode::X2Apic, None),
            (false, Some(user)) if !facts.wanted_anyway => Self::Off(Not::NotIsolated(user)),
            (false, user) => Self::Remapped(ApicMode::XApic, user),
        }
    }

    /// Returns the policy for a unit that does not execute the command to let requests in compatibility
    /// format pass. QEMU's does not.
    pub const fn without_compatibility(self) -> Self {
        match self {
            Self::Remapped(_, Some(user)) => Self::Off(NotRemapped::NoCompatibility(user)),
            Self::Off(_) | Self::Remapped(_, None) => self,
        }
    }

    /// Returns whether a device can raise only its own interrupts.
    pub const fn is_isolated(self) -> bool {
        matches!(self, Self::Remapped(_, None))
    }

    /// Returns what prevents isolation because it needs requests in compatibility format.
    pub const fn compatibility_user(self) -> Option<CompatibilityUser> {
        match self {
            Self::Off(
                NotRemapped::Blocks(user)
                | NotRemapped::NotIsolated(user)
                | NotRemapped::NoCompatibility(user),
            )
            | Self::Remapped(_, Some(user)) => Some(user),
            Self::Off(_) | Self::Remapped(_, None) => None,
        }
    }
}

impl CompatibilityUser {
    /// Returns what the user can do to have devices isolated.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::IoApic(_) => "boot with noapic to isolate them",
            Self::Hpet(_) => "boot with hpet=disable to isolate them",
            Self::AdoptedDevice => "load vtd before its driver, or with bound=2, to isolate them",
        }
    }
}

impl fmt::Display for CompatibilityUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IoApic(id) => write!(f, "IO-APIC {id}"),
            Self::Hpet(number) => write!(f, "HPET {number}"),
            Self::AdoptedDevice => f.write_str("a device that stays in pass-through"),
        }
    }
}

impl fmt::Display for NotRemapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotWanted => f.write_str("interrupts=0 was chosen"),
            Self::Unit => f.write_str("the unit cannot (ECAP.IR)"),
            Self::Platform => f.write_str("the DMAR table says that the platform cannot"),
            Self::Erratum => f.write_str("this chipset's interrupt remapping is faulty"),
            Self::NoQueue => f.write_str("the unit does not use an invalidation queue"),
            Self::NotExtended => f.write_str(
                "the processors are in x2APIC mode, whose destinations the unit cannot name \
                 (ECAP.EIM)",
            ),
            Self::Blocks(user) => write!(
                f,
                "the processors are in x2APIC mode, in which the unit would block the interrupts \
                 of {user}"
            ),
            Self::NotIsolated(user) => {
                write!(f, "{user} needs interrupts in compatibility format")
            }
            Self::NoCompatibility(user) => write!(
                f,
                "the unit does not let interrupts in compatibility format pass (GSTS.CFIS), which \
                 {user} needs"
            ),
        }
    }
}
