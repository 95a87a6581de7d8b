// SPDX-License-Identifier: GPL-2.0

//! Decides at load, for each unit, whether it remaps interrupts.
//!
//! The kernel sets up IO-APICs and HPETs while it boots, unless its command line forbids it. Once it
//! has an IO-APIC, a driver may request one of its pins at any time. So what counts is whether the
//! kernel has it, not whether a pin is in use now: what is decided here stays true.

use super::options::LoadOptions;
use crate::device::preflight::BoundDevices;
use crate::device::{Chipset, DeviceInterrupts, PciPath};
use crate::machine::ServedUnit;
use kernel::prelude::*;
use kernel_ext::pci::PciDevice;
use kernel_ext::wired_irq::{self, WiredSource};
use kernel_ext::{cmdline, msi};
use vtd_core::dmar::{Dmar, ScopeKind};
use vtd_core::interrupt_policy::{CompatibilityUser, InterruptFacts, InterruptPolicy};
use vtd_core::spec::address::PhysAddr;

/// The IO-APICs and HPETs whose interrupts the kernel has set up.
struct WiredInterrupts {
    /// Whether the kernel uses IO-APICs.
    io_apics: bool,
    /// Those with interrupts, by number.
    found: KVec<CompatibilityUser>,
}

impl WiredInterrupts {
    /// Finds them.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    fn find() -> Result<Self> {
        let mut found = KVec::new();
        let mut done = Ok(());
        wired_irq::for_each(|irq| {
            let user = match irq.source {
                WiredSource::IoApic { id, .. } => CompatibilityUser::IoApic(id),
                WiredSource::Hpet(number) => CompatibilityUser::Hpet(number),
            };
            if done.is_ok() && !found.contains(&user) {
                done = found.push(user, GFP_KERNEL).map_err(Error::from);
            }
        });
        done?;
        let is_io_apic = |user: &CompatibilityUser| matches!(user, CompatibilityUser::IoApic(_));
        let io_apics = !cmdline::has_word("noapic")? || found.iter().any(is_io_apic);
        Ok(WiredInterrupts { io_apics, found })
    }

    /// Returns what needs requests in compatibility format from the unit at `base`: an IO-APIC or
    /// HPET that firmware lists behind the unit, or behind no unit at all.
    fn user_behind(&self, dmar: &Dmar<'_>, base: PhysAddr) -> Option<CompatibilityUser> {
        let listed = |of: Option<PhysAddr>| {
            dmar.units()
                .filter(move |unit| of.is_none_or(|base| unit.register_base == base))
                .flat_map(|unit| unit.scopes.iter())
                .filter_map(|scope| match scope.kind {
                    ScopeKind::IoApic => Some(CompatibilityUser::IoApic(scope.enumeration_id)),
                    ScopeKind::Hpet => Some(CompatibilityUser::Hpet(scope.enumeration_id)),
                    _ => None,
                })
        };
        let is_used = |user: &CompatibilityUser| match user {
            CompatibilityUser::IoApic(_) => self.io_apics,
            _ => self.found.contains(user),
        };
        let own = listed(Some(base)).find(is_used);
        let unlisted = || {
            self.found
                .iter()
                .find(|user| !listed(None).any(|one| one == **user))
        };
        own.or_else(|| unlisted().copied())
    }
}

/// Decides for all `units`, and creates the MSI domains of those that remap interrupts.
///
/// # Errors
///
/// [`ENOMEM`] if an allocation fails, or that of the irq core.
///
/// # Context
///
/// Process context.
pub(super) fn decide_interrupts(
    units: &mut [ServedUnit],
    dmar: &Dmar<'_>,
    chipset: &Chipset,
    bound: &BoundDevices,
    options: &LoadOptions,
) -> Result {
    let wired = WiredInterrupts::find()?;
    for served in units {
        let unit = &served.unit;
        let base = PhysAddr::new(unit.register_base());
        let is_behind = |device: &PciDevice| {
            let path = PciPath::of(device).ok()?;
            Some(chipset.unit_for(dmar, &path)?.register_base == base)
        };
        let keeps = |device: &PciDevice| is_behind(device) == Some(true);
        let adopted = bound.to_adopt.iter().any(keeps);
        let policy = InterruptPolicy::of(InterruptFacts {
            wanted: options.unit.interrupts,
            wanted_anyway: options.interrupts == 2,
            platform: dmar.interrupt_remapping(),
            unit: unit.ecap().interrupt_remapping(),
            queue: unit.is_queued(),
            erratum: chipset.has_interrupt_erratum(),
            extended: unit.ecap().extended_interrupt_mode(),
            x2apic: msi::x2apic_enabled(),
            compatibility: wired
                .user_behind(dmar, base)
                .or(adopted.then_some(CompatibilityUser::AdoptedDevice)),
        });
        served.interrupts = DeviceInterrupts::new(unit, policy)?;
    }
    Ok(())
}
