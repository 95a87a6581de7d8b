// SPDX-License-Identifier: GPL-2.0

//! Physical memory, as the kernel uses it.

use crate::bindings;

/// Returns whether any of the `bytes` from `start` on is memory that the kernel uses (System RAM in
/// /proc/iomem).
///
/// # Context
///
/// Any context that may take a lock.
pub fn has_system_ram(start: u64, bytes: u64) -> bool {
    // SAFETY: Any range is allowed; the call reads the tree of resources under its lock.
    unsafe { bindings::vtd_helper_has_system_ram(start, bytes) }
}

/// Returns the number of physical address bits of the processors.
pub fn physical_bits() -> u32 {
    // SAFETY: Reads a byte that was set while the kernel booted.
    unsafe { bindings::vtd_helper_physical_bits() }
}
