// SPDX-License-Identifier: GPL-2.0

//! Kdump kernels, which are started to save the memory of a crashed kernel.
//!
//! C header: `include/linux/crash_dump.h`.

use crate::bindings;

/// Returns whether this is a kdump kernel.
pub fn is_kdump_kernel() -> bool {
    // SAFETY: Reads a word that was set while the kernel booted.
    unsafe { bindings::vtd_helper_is_crash_kernel() }
}
