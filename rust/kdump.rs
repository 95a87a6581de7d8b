// SPDX-License-Identifier: GPL-2.0

//! Kernels that are started to save the memory of one that crashed.
//!
//! C header: `include/linux/crash_dump.h`.

use crate::bindings;

/// Returns whether this kernel was started by the crash of another one, to save its memory.
pub fn is_kdump_kernel() -> bool {
    // SAFETY: Reads a word that was set while the kernel booted.
    unsafe { bindings::vtd_helper_is_crash_kernel() }
}
