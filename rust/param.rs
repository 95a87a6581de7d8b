// SPDX-License-Identifier: GPL-2.0

//! Module parameters.

use crate::bindings;
use core::borrow::Borrow;
use kernel::prelude::*;

/// Returns the value of a module parameter. The kernel's accessor returns it by reference up to
/// 7.2, and by copy from 7.3 on.
pub fn value<T: Copy>(accessed: impl Borrow<T>) -> T {
    *accessed.borrow()
}

/// Returns the module parameter `ignore`, which is empty if it was not given.
///
/// # Errors
///
/// [`EINVAL`] if it is not UTF-8.
// Inline, so that a module without that parameter contains no code of it.
#[inline]
pub fn ignore() -> Result<&'static str> {
    // SAFETY: A terminated string in the module, which is not written once the module's code runs:
    // the parameter is not in sysfs.
    let text = unsafe { CStr::from_char_ptr(bindings::vtd_helper_ignore_parameter()) };
    text.to_str().map_err(|_| EINVAL)
}

/// Returns the module parameter `rmrr`, which is empty if it was not given.
///
/// # Errors
///
/// [`EINVAL`] if it is not UTF-8.
// Inline, as `ignore()`.
#[inline]
pub fn rmrr() -> Result<&'static str> {
    // SAFETY: As in `ignore()`.
    let text = unsafe { CStr::from_char_ptr(bindings::vtd_helper_rmrr_parameter()) };
    text.to_str().map_err(|_| EINVAL)
}
