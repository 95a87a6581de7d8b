// SPDX-License-Identifier: GPL-2.0

//! Error codes that the kernel crate does not name in all supported versions.

use crate::bindings;
use kernel::error::Error;

/// Returns `EOPNOTSUPP`.
pub fn eopnotsupp() -> Error {
    Error::from_errno(-(bindings::EOPNOTSUPP as i32))
}

/// Returns `EADDRINUSE`.
pub fn eaddrinuse() -> Error {
    Error::from_errno(-(bindings::EADDRINUSE as i32))
}
