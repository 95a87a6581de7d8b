// SPDX-License-Identifier: GPL-2.0

//! The survey of the machine before a load changes anything: which units are used, with which
//! workarounds, and which devices already have drivers.

use super::interrupts::decide_interrupts;
use super::options::LoadOptions;
use crate::device::preflight::{BoundDevices, BoundPolicy};
use crate::device::{Chipset, DeviceInterrupts};
use crate::domain::FlushChoice;
use crate::machine::ServedUnit;
use crate::report;
use crate::unit::{Options as UnitOptions, Unit};
use kernel::prelude::*;
use kernel_ext::pages::NumaNode;
use kernel_ext::pci::RescanLock;
use kernel_ext::sysfs::AttributeGroup;
use kernel_ext::{acpi, cmdline, iommu, log_err, log_info, memory};
use vtd_core::ats_policy::AtsChoice;
use vtd_core::dmar::error::Problem;
use vtd_core::dmar::{CheckedDmar, Dmar};
use vtd_core::interrupt_policy::{InterruptPolicy, NotRemapped};
use vtd_core::pgtable::output_bits;

/// The result of the survey.
pub(super) struct Survey {
    pub(super) chipset: Chipset,
    /// The units, with their register ranges claimed, and in sysfs. No register has been written.
    pub(super) units: KVec<ServedUnit>,
    pub(super) bound: BoundDevices,
    /// Whether flushes are deferred for trusted devices.
    pub(super) flushing: FlushChoice,
    /// Which device-TLBs are used.
    pub(super) ats: AtsChoice,
}

impl Survey {
    /// Surveys the machine.
    ///
    /// # Errors
    ///
    /// Any; the log has explained all but [`ENOMEM`].
    ///
    /// # Context
    ///
    /// Process context.
    pub(super) fn find(
        table: &acpi::AcpiTable,
        options: &LoadOptions,
    ) -> Result<(CheckedDmar, Self)> {
        let dmar = parse(table)?;
        report::log_firmware_notes(&dmar);
        report_host_width(&dmar);
        let policy = BoundPolicy::from_parameter(options.bound)?;
        // No device, and no bridge above one, is removed while it is examined.
        let hot_plug = RescanLock::lock();
        let mut chipset = Chipset::find(&dmar, options.ignore, options.rmrr)?;
        drop(hot_plug);
        let flushing = FlushChoice {
            lazy: chose_lazy(options.lazy)? && !chipset.is_strict(),
            hold: chose_hold(options.hold)?,
        };
        check_interrupts(options.interrupts)?;
        let ats = choose_ats(options.ats)?;
        let mut units = create_units(table, &dmar, &mut chipset, options.unit)?;
        if units.is_empty() {
            log_err!("not loaded: all remapping units are left out");
            return Err(ENODEV);
        }
        let hot_plug = RescanLock::lock();
        let bound = BoundDevices::find(&dmar, &chipset, policy)?;
        drop(hot_plug);
        decide_interrupts(&mut units, &dmar, &chipset, &bound, options)?;
        let survey = Survey {
            chipset,
            units,
            bound,
            flushing,
            ats,
        };
        Ok((dmar.checked(), survey))
    }
}

/// Logs that a name in sysfs could not be created.
pub(super) fn report_sysfs_error(at: &str, error: Error) {
    log_err!(
        "not loaded: {at} cannot be created ({}). Another driver may have one of that name",
        error.to_errno()
    )
}

fn parse(table: &acpi::AcpiTable) -> Result<Dmar<'_>> {
    Dmar::parse(table.bytes()).map_err(|e| {
        log_err!("not loaded: {e}");
        match e.problem {
            Problem::RemappingOff { .. } => ENODEV,
            _ => EINVAL,
        }
    })
}

/// Claims each unit that is not left out, and adds it to sysfs.
// Not inlined, so that its stack frame is freed before devices are probed.
#[inline(never)]
fn create_units(
    table: &acpi::AcpiTable,
    dmar: &Dmar<'_>,
    chipset: &mut Chipset,
    options: UnitOptions,
) -> Result<KVec<ServedUnit>> {
    let mut units = KVec::new();
    for (index, drhd) in dmar.units().enumerate() {
        let base = drhd.register_base;
        let Some(workarounds) = chipset.workarounds_of(base) else {
            continue;
        };
        let node = dmar
            .proximity_of(base)
            .map_or(NumaNode::NO_NODE, acpi::node_of_proximity);
        let named = table.find_address(base.raw()).ok_or(EINVAL)?;
        let unit = match Unit::bring_up(index, named, drhd.segment, node, options, workarounds) {
            Err(ENODEV) => {
                chipset.leave_out(base);
                continue;
            }
            unit => unit?,
        };
        let group =
            AttributeGroup::new(Some(c"intel-iommu"), report::UNIT_ATTRIBUTES, unit.clone())?;
        let iommu_device = iommu::IommuUnit::new(unit.name(), group)
            .inspect_err(|e| report_sysfs_error("an entry in /sys/class/iommu", *e))?;
        report::log_unit(&unit);
        let undecided = InterruptPolicy::Off(NotRemapped::NotWanted);
        let interrupts = DeviceInterrupts::new(&unit, undecided)?;
        let saved = KBox::pin_init(
            kernel_ext::new_irq_spinlock!(None, c"vtd saved registers"),
            GFP_KERNEL,
        )?;
        units.push(
            ServedUnit {
                unit,
                iommu_device,
                interrupts,
                saved,
            },
            GFP_KERNEL,
        )?;
    }
    Ok(units)
}

/// Logs it if the processors have more physical address bits than the DMAR table reports.
fn report_host_width(dmar: &Dmar<'_>) {
    let (table, processors) = (dmar.host_bits(), memory::physical_bits());
    if processors > table {
        log_info!(
            "DMAR: the host address width is {table} bits, but the processors have {processors}: \
             physical addresses of up to {} bits can be mapped",
            output_bits(table, processors)
        );
    }
}

/// Checks the module parameter `interrupts`.
fn check_interrupts(parameter: i32) -> Result {
    if (0..=2).contains(&parameter) {
        return Ok(());
    }
    log_err!(
        "not loaded: interrupts={parameter} is not valid: give 0 (not remapped), 1 (where that \
         isolates devices) or 2 (wherever possible)"
    );
    Err(EINVAL)
}

/// Returns which device-TLBs the user wants.
fn choose_ats(parameter: i32) -> Result<AtsChoice> {
    AtsChoice::from_parameter(parameter).ok_or_else(|| {
        log_err!(
            "not loaded: ats={parameter} is not valid: give 0 (no device-TLBs), 1 (those of \
             devices that need theirs) or 2 (all that can be used)"
        );
        EINVAL
    })
}

/// Returns whether unmapped memory is held until a deferred flush.
fn chose_hold(parameter: i32) -> Result<bool> {
    match parameter {
        0 => Ok(false),
        1 => Ok(true),
        _ => {
            log_err!("not loaded: hold={parameter} is not valid: give 0 (not held) or 1 (held)");
            Err(EINVAL)
        }
    }
}

/// Returns whether the user chose lazy flushing: by the module parameter, or by `iommu.strict=0` on
/// the kernel's command line. A default that is compiled into the kernel is not a choice of the
/// user; it takes effect only if the user writes `auto` to a group's type.
fn chose_lazy(parameter: i32) -> Result<bool> {
    Ok(match parameter {
        0 => false,
        1 => true,
        _ => cmdline::get_bool("iommu.strict")? == Some(false),
    })
}
