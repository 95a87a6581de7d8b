// SPDX-License-Identifier: GPL-2.0

//! The kernel's map of physical memory.

/// Whether any of the `bytes` from `start` on are memory that the kernel gives out (System RAM in
/// /proc/iomem). Any context that may take a lock.
pub fn has_system_ram(start: u64, bytes: u64) -> bool {
    // SAFETY: Any range may be asked for; the call reads the tree of resources under its lock.
    unsafe { crate::bindings::vtd_helper_has_system_ram(start, bytes) }
}
