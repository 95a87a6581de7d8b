// SPDX-License-Identifier: GPL-2.0

//! Taint flags of the kernel.
//!
//! C header: `include/linux/panic.h` (`add_taint()`).

use crate::bindings;

/// Taints the kernel because of a choice of the user (`TAINT_USER`).
///
/// # Context
///
/// Any context.
pub fn add_taint_user() {
    // SAFETY: Has no preconditions.
    unsafe { bindings::vtd_helper_add_taint() }
}

/// Taints the kernel because of broken firmware (`TAINT_FIRMWARE_WORKAROUND`).
///
/// # Context
///
/// Any context.
pub fn add_taint_firmware_workaround() {
    // SAFETY: Has no preconditions.
    unsafe { bindings::vtd_helper_add_firmware_taint() }
}
