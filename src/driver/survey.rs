// SPDX-License-Identifier: GPL-2.0

//! What a load finds before it changes anything: which units are served, and with which workarounds, and
//! which devices have drivers already.

use super::options::LoadOptions;
use crate::device::preflight::{BoundDevices, BoundPolicy};
use crate::device::Chipset;
use crate::machine::ServedUnit;
use crate::report;
use crate::unit::{Options as UnitOptions, Unit};
use kernel::prelude::*;
use kernel_ext::pages::NumaNode;
use kernel_ext::pci::RescanLock;
use kernel_ext::sysfs::AttributeGroup;
use kernel_ext::{acpi, cmdline, iommu, log_err, log_info, memory};
use vtd_core::dmar::error::Problem;
use vtd_core::dmar::{CheckedDmar, Dmar};
use vtd_core::pgtable::output_bits;

/// The machine, as far as a load has to know it.
pub(super) struct Survey {
    pub(super) chipset: Chipset,
    /// Claimed, and in sysfs; no register of them has been written.
    pub(super) units: KVec<ServedUnit>,
    pub(super) bound: BoundDevices,
    /// Whether flushes are deferred for trusted devices.
    pub(super) lazy: bool,
}

impl Survey {
    /// Finds it. Every error but [`ENOMEM`] has been explained in the log. Process context.
    pub(super) fn find(table: &acpi::Table, options: &LoadOptions) -> Result<(CheckedDmar, Self)> {
        let dmar = parse(table)?;
        report::log_firmware_notes(&dmar);
        report_host_width(&dmar);
        let policy = BoundPolicy::from_parameter(options.bound)?;
        // Devices, and bridges on the way to them, stay while they are looked at.
        let hot_plug = RescanLock::lock();
        let mut chipset = Chipset::find(&dmar, options.ignore)?;
        drop(hot_plug);
        let lazy = chose_lazy(options.lazy)? && !chipset.is_strict();
        let units = create_units(table, &dmar, &mut chipset, options.unit)?;
        if units.is_empty() {
            log_err!("not loaded: all remapping units are left out");
            return Err(ENODEV);
        }
        let hot_plug = RescanLock::lock();
        let bound = BoundDevices::find(&dmar, &chipset, policy)?;
        drop(hot_plug);
        let survey = Survey {
            chipset,
            units,
            bound,
            lazy,
        };
        Ok((dmar.checked(), survey))
    }
}

/// Says that a name in sysfs is taken.
pub(super) fn report_sysfs_error(at: &str, error: Error) {
    log_err!(
        "not loaded: {at} cannot be created ({}). Another driver may have one of that name",
        error.to_errno()
    )
}

fn parse(table: &acpi::Table) -> Result<Dmar<'_>> {
    Dmar::parse(table.bytes()).map_err(|e| {
        log_err!("not loaded: {e}");
        match e.problem {
            Problem::RemappingOff { .. } => ENODEV,
            _ => EINVAL,
        }
    })
}

/// Claims each unit that is not left out, and enters it into sysfs.
// Apart, so that its frame is gone when devices are probed.
#[inline(never)]
fn create_units(
    table: &acpi::Table,
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
        let iommu_device = iommu::Unit::new(unit.name(), group)
            .inspect_err(|e| report_sysfs_error("an entry in /sys/class/iommu", *e))?;
        report::log_unit(&unit);
        let saved = KBox::pin_init(
            kernel_ext::new_irq_spinlock!(None, c"vtd saved registers"),
            GFP_KERNEL,
        )?;
        units.push(
            ServedUnit {
                unit,
                iommu_device,
                saved,
            },
            GFP_KERNEL,
        )?;
    }
    Ok(units)
}

/// Says so if more can be mapped than the DMAR table says that there is.
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

/// Whether the user chose lazy flushing: by the module parameter, or by `iommu.strict=0` on the
/// kernel's command line. A default compiled into the kernel is nobody's choice, as long as nobody
/// writes `auto` to a group's type, which asks for it.
fn chose_lazy(parameter: i32) -> Result<bool> {
    Ok(match parameter {
        0 => false,
        1 => true,
        _ => cmdline::get_bool("iommu.strict")? == Some(false),
    })
}
