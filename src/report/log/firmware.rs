// SPDX-License-Identifier: GPL-2.0

//! Log messages about oddities of the DMAR table, and about the regions it reserves. Firmware determines the length of the table, but
//! the number of messages is limited.

use crate::device::DeviceInfo;
use core::fmt;
use kernel_ext::memory::has_system_ram;
use kernel_ext::{log_dev_info, log_dev_warn, log_info, log_warn, taint};
use vtd_core::dmar::Dmar;

/// The maximum number of lines in the log for one table. Real tables have had about ten at most.
const MAX_LINES: usize = 64;

/// Logs the reserved regions that contain memory of the kernel, and then everything that is odd
/// about the table. Taints the kernel, as the in-tree driver does, if anything is wrong and not
/// merely unusual.
///
/// # Context
///
/// Process context.
pub(crate) fn log_firmware_notes(dmar: &Dmar<'_>) {
    let mut report = FirmwareLog::default();
    for region in dmar.reserved_regions() {
        if has_system_ram(region.base.raw(), region.bytes()) {
            report.log(
                true,
                format_args!(
                    "DMAR table, offset {:#x}: No firmware reserved region can cover this RMRR \
                     [{:#018x}-{:#018x}]: it has memory that the kernel uses. It is mapped, so \
                     that its devices can read and write there",
                    region.offset,
                    region.base.raw(),
                    region.limit.raw()
                ),
            );
        }
    }
    dmar.notes(|note| report.log(note.is_wrong(), format_args!("{note}")));
    if report.lines > MAX_LINES {
        log_info!(
            "DMAR: {} more lines about the table were suppressed",
            report.lines - MAX_LINES
        );
    }
    if report.wrong {
        taint::add_taint_firmware_workaround();
    }
}

/// Logs the regions of a device that `rmrr=` names. Taints the kernel if one of them would otherwise
/// keep users away: firmware does not expect that.
///
/// # Context
///
/// Any context.
pub(crate) fn log_relaxed_regions(info: &DeviceInfo) {
    let (unit, device) = (&*info.unit, info.pci.as_device());
    let mut any = false;
    for region in info.regions.iter().filter(|region| region.in_use) {
        any = true;
        log_dev_warn!(
            device,
            "{unit}: {info} can be given to a user although firmware uses {:#x} to {:#x} through it \
             (RMRR), as rmrr= says: what firmware does there fails while a user has it",
            region.start,
            region.start.saturating_add(region.bytes).saturating_sub(1)
        );
    }
    if any {
        taint::add_taint_user();
    } else {
        log_dev_info!(
            device,
            "{unit}: {info}: rmrr= changes nothing: no reserved memory keeps users from it"
        );
    }
}

#[derive(Default)]
struct FirmwareLog {
    lines: usize,
    wrong: bool,
}

impl FirmwareLog {
    fn log(&mut self, wrong: bool, text: fmt::Arguments<'_>) {
        self.wrong |= wrong;
        self.lines += 1;
        match wrong {
            _ if self.lines > MAX_LINES => {}
            true => log_warn!("[Firmware Bug]: {text}"),
            false => log_info!("DMAR: {text}"),
        }
    }
}
