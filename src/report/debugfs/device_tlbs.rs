// SPDX-License-Identifier: GPL-2.0

//! `vtd/device_tlbs`: each device that has a device-TLB, and whether that is used.

use super::view::chunk_done;
use crate::machine::Machine;
use core::fmt::Write;
use kernel::sync::Arc;
use kernel_ext::debugfs::Text;

/// Writes a line for each device with a device-TLB; a chunk is a device.
pub(super) fn show_device_tlbs(
    machine: &Arc<Machine>,
    number: u64,
    _: &mut u64,
    to: &mut Text<'_>,
) -> Option<u64> {
    let info = machine.device_from(number)?;
    let written = match info.ats.has_capability() {
        true => {
            let state = if info.pci.is_ats_on() { "on" } else { "off" };
            writeln!(to, "{} {state}, {}", *info, info.ats)
        }
        false => Ok(()),
    };
    chunk_done(written, Some(info.number + 1))
}
