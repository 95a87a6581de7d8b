// SPDX-License-Identifier: GPL-2.0

//! Attributes: those of the in-tree driver for each unit, and `/sys/kernel/vtd`.

use crate::driver::Vtd;
use crate::unit::Unit;
use kernel::prelude::*;
use kernel_ext::sysfs::Attribute;

const fn shown<T>(
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

/// `/sys/class/iommu/dmarN/intel-iommu/`, in the in-tree driver's words.
pub(crate) static UNIT_ATTRIBUTES: &[Attribute<Unit>] = &[
    shown(c"version", |unit, to| {
        let (major, minor) = unit.version();
        writeln!(to, "{major}:{minor}")
    }),
    shown(c"address", |unit, to| {
        writeln!(to, "{:x}", unit.register_base())
    }),
    shown(c"cap", |unit, to| writeln!(to, "{:x}", unit.cap().raw())),
    shown(c"ecap", |unit, to| writeln!(to, "{:x}", unit.ecap().raw())),
    shown(c"domains_supported", |unit, to| {
        writeln!(to, "{}", unit.cap().domain_count().unwrap_or(0))
    }),
    shown(c"domains_used", |unit, to| {
        writeln!(to, "{}", unit.domains_used())
    }),
];

/// `/sys/kernel/vtd/`.
pub(crate) static FOLDER: &[Attribute<Vtd>] = &[
    shown(c"users", |vtd, to| {
        let mut result = Ok(());
        vtd.for_each_device(|info| {
            let (is, group) = {
                let state = info.state.lock();
                (state.is, state.group)
            };
            let group = group.map_or(-1, i64::from);
            let line = match info.pci.as_device().driver() {
                Some(driver) => writeln!(to, "{info} {group} {} {is}", driver.name),
                None => writeln!(to, "{info} {group} - {is}"),
            };
            result = result.and(line);
        });
        vtd.ownership.adopted.for_each(|device| {
            let device = device.as_device();
            let line = match device.driver() {
                Some(driver) => writeln!(to, "{device} -1 {} untranslated", driver.name),
                None => writeln!(to, "{device} -1 - untranslated"),
            };
            result = result.and(line);
        });
        result
    }),
    Attribute {
        name: c"detach",
        mode: 0o200,
        show: |_, _| Ok(()),
        store: Some(|vtd, text| match text {
            "1" => vtd.detach(),
            _ => Err(EINVAL),
        }),
    },
    Attribute {
        name: c"test_restrict",
        mode: 0o200,
        show: |_, _| Ok(()),
        store: Some(|vtd, text| {
            if !vtd.test_hooks {
                return Err(EPERM);
            }
            let bits = text.parse().map_err(|_| EINVAL)?;
            vtd.units().for_each(|served| served.unit.restrict(bits));
            Ok(())
        }),
    },
    Attribute {
        name: c"test_provoke",
        mode: 0o200,
        show: |_, _| Ok(()),
        store: Some(|vtd, text| {
            if !vtd.test_hooks {
                return Err(EPERM);
            }
            vtd.units().try_for_each(|served| served.unit.provoke(text))
        }),
    },
];
