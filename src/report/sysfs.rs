// SPDX-License-Identifier: GPL-2.0

//! Attributes in sysfs: those of each unit, as the in-tree driver has them, and the list of users.

use super::debugfs::users;
use crate::machine::Machine;
use crate::unit::Unit;
use kernel::prelude::*;
use kernel_ext::sysfs::Attribute;

const fn read_only<T>(
    name: &'static CStr,
    show: fn(&T, &mut dyn core::fmt::Write) -> core::fmt::Result,
) -> Attribute<T> {
    Attribute {
        name,
        mode: 0o444,
        show,
        store: None,
    }
}

/// The files in `/sys/class/iommu/dmarN/intel-iommu/`, in the format of the in-tree driver.
pub(crate) static UNIT_ATTRIBUTES: &[Attribute<Unit>] = &[
    read_only(c"version", |unit, to| {
        let (major, minor) = unit.version();
        writeln!(to, "{major}:{minor}")
    }),
    read_only(c"address", |unit, to| {
        writeln!(to, "{:x}", unit.register_base())
    }),
    read_only(c"cap", |unit, to| writeln!(to, "{:x}", unit.cap().raw())),
    read_only(c"ecap", |unit, to| writeln!(to, "{:x}", unit.ecap().raw())),
    read_only(c"domains_supported", |unit, to| {
        writeln!(to, "{}", unit.cap().domain_count().unwrap_or(0))
    }),
    read_only(c"domains_used", |unit, to| {
        writeln!(to, "{}", unit.domains_used())
    }),
];

/// The file `/sys/kernel/vtd/users`.
pub(crate) const USERS: Attribute<Machine> = read_only(c"users", |machine, to| {
    let mut result = Ok(());
    machine.for_each_device(|info| {
        if result.is_ok() {
            result = users::write_user(info, to);
        }
    });
    result.and_then(|()| users::write_untranslated(machine, to))
});
