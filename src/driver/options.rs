// SPDX-License-Identifier: GPL-2.0

//! The options of a load, from the module parameters.

use crate::machine::Machine;
use crate::unit::Options as UnitOptions;
use core::fmt;
use kernel::prelude::*;
use kernel::str::CString;
use kernel_ext::sysfs::Attribute;

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
    /// Which device-TLBs are used: the number of an
    /// [`AtsChoice`](vtd_core::ats_policy::AtsChoice).
    pub(crate) ats: i32,
    /// The units that are left out, as text.
    pub(crate) ignore: &'static str,
    /// The devices whose reserved memory does not keep users away, as text.
    pub(crate) rmrr: &'static str,
    /// Whether the sysfs files for tests accept writes.
    pub(crate) test_hooks: bool,
}

impl LoadOptions {
    /// Returns the text of [`PARAMETERS`]. Not inlined: what formats it would stay in the frame of
    /// the load.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    #[inline(never)]
    pub(super) fn text(&self) -> Result<CString> {
        CString::try_from_fmt(core::format_args!("{self}"))
    }
}

impl fmt::Display for LoadOptions {
    /// Writes `name=value` of each module parameter, one a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = [
            ("bound", self.bound),
            ("hold", self.hold),
            ("lazy", self.lazy),
            ("interrupts", self.interrupts),
            ("ats", self.ats),
            ("test_hooks", self.test_hooks.into()),
            ("register_invalidation", self.unit.without_queue.into()),
            ("scalable", self.unit.scalable.into()),
        ];
        for (name, value) in numbers {
            writeln!(f, "{name}={value}")?;
        }
        writeln!(f, "ignore={}\nrmrr={}", self.ignore, self.rmrr)
    }
}

/// The file `/sys/kernel/vtd/parameters`: the module parameters of this load. `module!` of 7.2 and
/// 7.3 shows none in `/sys/module/vtd/parameters`.
pub(super) const PARAMETERS: Attribute<Machine> = Attribute {
    name: c"parameters",
    mode: 0o444,
    show: |machine, to| to.write_str(machine.parameters.to_str().unwrap_or_default()),
    store: None,
};
