// SPDX-License-Identifier: GPL-2.0

//! What a crash kernel needs to take over the units.

use crate::machine::{Machine, ServedUnit};
use kernel_ext::{cmdline, log_warn};
use vtd_core::translation_mode::in_tree_parameter;

/// Logs how a crash kernel has to be booted, if memory is reserved for one.
///
/// # Context
///
/// May sleep.
pub(crate) fn log_crash_kernel(machine: &Machine) {
    // If memory is too short to find out, this is left out.
    if cmdline::has_parameter("crashkernel") != Ok(true) {
        return;
    }
    let isolates = |served: &ServedUnit| served.interrupts.policy().is_isolated();
    if machine.units().any(isolates) {
        log_warn!(
            "interrupts are isolated, so the crash kernel that crashkernel= is for gets them only if \
             it is booted with intel_iommu=on intremap=on and without noapic: see to that"
        );
    }
    let modes = machine.units().map(|served| served.unit.legacy_reason());
    if let Some(parameter) = in_tree_parameter(modes) {
        log_warn!(
            "the crash kernel that crashkernel= is for must be booted with {parameter}: without it, \
             the in-tree driver uses the other mode of a unit, keeps no tables, and lets DMA in flight \
             pass to wrong addresses"
        );
    }
}
