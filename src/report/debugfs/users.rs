// SPDX-License-Identifier: GPL-2.0

//! `vtd/users` and `/sys/kernel/vtd/users`: each device's driver, and what it is attached to.

use super::view::chunk_done;
use crate::device::DeviceInfo;
pub(super) use crate::device::DriverName;
use crate::machine::Machine;
use core::fmt::{self, Write};
use kernel::sync::Arc;
use kernel_ext::debugfs::Text;

/// Writes the line for a device.
pub(in crate::report) fn write_user(info: &DeviceInfo, to: &mut dyn Write) -> fmt::Result {
    let (attached_to, group) = {
        let state = info.state.lock();
        (state.attached_to, state.group_id)
    };
    let group = group.map_or(-1, i64::from);
    let driver = DriverName::of(info.pci.as_device());
    if info.is_quarantined() {
        return writeln!(to, "{info} {group} {driver} quarantined");
    }
    writeln!(to, "{info} {group} {driver} {attached_to}")
}

/// Writes the lines for devices that stay in pass-through, or are behind a unit that is left out.
pub(in crate::report) fn write_untranslated(machine: &Machine, to: &mut dyn Write) -> fmt::Result {
    let mut written = Ok(());
    machine.untranslated.adopted.for_each(|device| {
        let device = device.as_device();
        let line = writeln!(to, "{device} -1 {} untranslated", DriverName::of(device));
        written = written.and(line);
    });
    machine.untranslated.left_out.for_each(|device| {
        let device = device.as_device();
        let line = writeln!(to, "{device} -1 {} no-unit", DriverName::of(device));
        written = written.and(line);
    });
    written
}

/// The chunk of `users` with the untranslated devices; greater than the number of any device.
const UNTRANSLATED: u64 = 1 << 61;

/// Writes the lines of `/sys/kernel/vtd/users`, but without the limit of one page; a chunk is a
/// device.
pub(super) fn show_users(
    machine: &Arc<Machine>,
    number: u64,
    _: &mut u64,
    to: &mut Text<'_>,
) -> Option<u64> {
    if number > UNTRANSLATED {
        return None;
    }
    match machine.device_from(number) {
        Some(info) => chunk_done(write_user(&info, to), Some(info.number + 1)),
        None => chunk_done(write_untranslated(machine, to), Some(UNTRANSLATED + 1)),
    }
}
