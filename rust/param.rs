// SPDX-License-Identifier: GPL-2.0

//! Module parameters.

use core::borrow::Borrow;

/// The value of a module parameter, whichever way the kernel's accessor hands it out: by
/// reference up to 7.2, by copy from 7.3 on.
pub fn value<T: Copy>(accessed: impl Borrow<T>) -> T {
    *accessed.borrow()
}
