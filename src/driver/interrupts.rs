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
use kernel_ext::acpi::AcpiTable;
use kernel_ext::pci::PciDevice;
use kernel_ext::wired_irq::{self, WiredSource};
use kernel_ext::{cmdline, msi};
use vtd_core::dmar::Dmar;
use vtd_core::interrupt_policy::{CompatibilityUser, InterruptFacts, InterruptPolicy};
use vtd_core::spec::address::PhysAddr;
use vtd_core::wired_interrupts::{io_apic_ids, WiredSources};

/// Whether the kernel uses IO-APICs, and those and the HPETs whose interrupts it has set up.
struct WiredInterrupts {
    io_apics: bool,
    used: KVec<CompatibilityUser>,
}

impl WiredInterrupts {
    /// Finds them.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    fn find() -> Result<Self> {
        let mut used = KVec::new();
        let mut done = Ok(());
        let mut add = |user| {
            if done.is_ok() && !used.contains(&user) {
                done = used.push(user, GFP_KERNEL).map_err(Error::from);
            }
        };
        wired_irq::for_each(|irq| {
            add(match irq.source {
                WiredSource::IoApic { id, .. } => CompatibilityUser::IoApic(id),
                WiredSource::Hpet(number) => CompatibilityUser::Hpet(number),
            })
        });
        // One without an interrupt counts, too. Without a MADT there are none but those found above.
        let wanted = !cmdline::has_word("noapic")?;
        let madt = wanted.then(|| AcpiTable::find(b"APIC").ok()).flatten();
        for id in madt.iter().flat_map(|madt| io_apic_ids(madt.bytes())) {
            add(CompatibilityUser::IoApic(id));
        }
        done?;
        let is_io_apic = |user: &CompatibilityUser| matches!(user, CompatibilityUser::IoApic(_));
        let io_apics = wanted || used.iter().any(is_io_apic);
        Ok(WiredInterrupts { io_apics, used })
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
    let found = WiredInterrupts::find()?;
    let wired = WiredSources {
        io_apics: found.io_apics,
        used: &found.used,
    };
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
