// SPDX-License-Identifier: GPL-2.0

//! Flags that tell a reader of the log that the kernel is not as it was built.
//!
//! C header: `include/linux/panic.h` (`add_taint()`).

use crate::bindings;

/// Taints the kernel by what its user asked for (`TAINT_USER`). Any context.
pub fn add_taint_user() {
    // SAFETY: Has no preconditions.
    unsafe { bindings::vtd_helper_add_taint() }
}

/// Taints the kernel by firmware that had to be worked around (`TAINT_FIRMWARE_WORKAROUND`). Any
/// context.
pub fn add_taint_firmware_workaround() {
    // SAFETY: Has no preconditions.
    unsafe { bindings::vtd_helper_add_firmware_taint() }
}
