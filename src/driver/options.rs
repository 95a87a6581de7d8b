// SPDX-License-Identifier: GPL-2.0

//! What the user may ask at load.

use crate::unit::Options as UnitOptions;

/// What the user may ask at load.
pub(crate) struct LoadOptions {
    /// Of all units.
    pub(crate) unit: UnitOptions,
    /// 0: strict; 1: lazy for trusted devices; otherwise: what the kernel's command line says.
    pub(crate) lazy: i32,
    /// What becomes of devices with drivers: a number of
    /// [`BoundPolicy`](crate::device::preflight::BoundPolicy).
    pub(crate) bound: i32,
    /// Which units are left out.
    pub(crate) ignore: &'static str,
    /// Whether the files for tests work.
    pub(crate) test_hooks: bool,
}
