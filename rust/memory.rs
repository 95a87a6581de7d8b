// SPDX-License-Identifier: GPL-2.0

//! The kernel's map of physical memory.

use crate::bindings;

/// Returns whether any of the `bytes` from `start` on are memory that the kernel gives out (System
/// RAM in /proc/iomem). Any context that may take a lock.
pub fn has_system_ram(start: u64, bytes: u64) -> bool {
    // SAFETY: Any range may be asked for; the call reads the tree of resources under its lock.
    unsafe { bindings::vtd_helper_has_system_ram(start, bytes) }
}

/// Returns how many bits of physical address the processors have.
pub fn physical_bits() -> u32 {
    // SAFETY: Reads a byte that was set while the kernel booted.
    unsafe { bindings::vtd_helper_physical_bits() }
}
