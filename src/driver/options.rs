// SPDX-License-Identifier: GPL-2.0

//! The options of a load, from the module parameters.

use crate::unit::Options as UnitOptions;

/// The options of a load, from the module parameters.
pub(crate) struct LoadOptions {
    /// Options for all units.
    pub(crate) unit: UnitOptions,
    /// 0: strict; 1: lazy for trusted devices; other values: as the kernel's command line says.
    pub(crate) lazy: i32,
    /// 1: unmapped memory is held until a deferred flush; 0: it is not.
    pub(crate) hold: i32,
    /// How devices with drivers are treated: the number of a
    /// [`BoundPolicy`](crate::device::preflight::BoundPolicy).
    pub(crate) bound: i32,
    /// 0: interrupts are not remapped; 1: where that isolates devices; 2: wherever possible.
    pub(crate) interrupts: i32,
    /// The units that are left out, as text.
    pub(crate) ignore: &'static str,
    /// The devices whose reserved memory does not keep users away, as text.
    pub(crate) rmrr: &'static str,
    /// Whether the sysfs files for tests accept writes.
    pub(crate) test_hooks: bool,
}
