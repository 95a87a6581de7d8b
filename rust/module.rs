// SPDX-License-Identifier: GPL-2.0

//! The module itself.

use crate::bindings;
use kernel::prelude::*;

/// Keeps the module loaded for good: it cannot be removed any more.
///
/// # Context
///
/// While the module is initialised, or while something else holds it.
pub fn keep_loaded(module: &'static ThisModule) {
    // SAFETY: The module that runs this code is loaded and is not being removed: by this function's
    // contract it is being initialised, or is held.
    unsafe { bindings::__module_get(module.as_ptr()) }
}
