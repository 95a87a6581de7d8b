// SPDX-License-Identifier: GPL-2.0

//! The files of `/sys/kernel/vtd` for tests. A line that is written to one of them is `WORD`, which
//! concerns all units, or `UNIT WORD`.

use crate::machine::Machine;
use crate::unit::{InjectedError, Unit};
use core::fmt;
use kernel::prelude::*;
use kernel_ext::log_err;
use kernel_ext::sysfs::Attribute;

/// The file `/sys/kernel/vtd/limit_units`.
pub(crate) const LIMIT_UNITS: Attribute<Machine> = Attribute {
    name: c"limit_units",
    mode: 0o200,
    show: |_, _| Ok(()),
    store: Some(|machine, text| {
        let request = HookRequest::parse(machine, "limit_units", text)?;
        let bits = request.word.parse().map_err(|_| {
            log_err!("limit_units: {:?} is not a number of 32 bits", request.word);
            EINVAL
        })?;
        request.units().for_each(|unit| unit.restrict(bits));
        Ok(())
    }),
};

/// The file `/sys/kernel/vtd/inject_error`.
pub(crate) const INJECT_ERROR: Attribute<Machine> = Attribute {
    name: c"inject_error",
    mode: 0o200,
    show: |_, _| Ok(()),
    store: Some(|machine, text| {
        let request = HookRequest::parse(machine, "inject_error", text)?;
        let error = InjectedError::named(request.word).ok_or_else(|| {
            let known = CommaSeparated(InjectedError::names());
            log_err!("inject_error: {:?} is none of {known}", request.word);
            EINVAL
        })?;
        if let Some(unit) = request.units().find(|unit| !unit.can_inject(error)) {
            log_err!(
                "inject_error: {unit} does not use its invalidation queue, which {} needs",
                request.word
            );
            return Err(ENODEV);
        }
        request.units().for_each(|unit| unit.inject_error(error));
        Ok(())
    }),
};

/// What a line requests, and of which units.
struct HookRequest<'a> {
    machine: &'a Machine,
    /// All units without it.
    unit: Option<&'a Unit>,
    word: &'a str,
}

impl<'a> HookRequest<'a> {
    /// Parses `text`, which was written to `file`.
    ///
    /// # Errors
    ///
    /// [`EPERM`] without `test_hooks=1`; [`EINVAL`] if no unit has the name in it, which is logged.
    fn parse(machine: &'a Machine, file: &str, text: &'a str) -> Result<Self> {
        if !machine.test_hooks {
            return Err(EPERM);
        }
        let Some((name, word)) = text.split_once(' ') else {
            return Ok(HookRequest {
                machine,
                unit: None,
                word: text,
            });
        };
        let unit = machine.unit_named(name).ok_or_else(|| {
            let known = CommaSeparated(machine.units().map(|served| &*served.unit));
            log_err!("{file}: no unit is called {name:?}: name one of {known}");
            EINVAL
        })?;
        Ok(HookRequest {
            machine,
            unit: Some(unit),
            word,
        })
    }

    /// Returns the units that the line concerns.
    fn units(&self) -> impl Iterator<Item = &Unit> {
        let all = self.machine.units().map(|served| &*served.unit);
        all.filter(|unit| self.unit.is_none_or(|only| core::ptr::eq(only, *unit)))
    }
}

/// Formats a list of names.
struct CommaSeparated<I>(I);

impl<I: Iterator<Item = T> + Clone, T: fmt::Display> fmt::Display for CommaSeparated<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, item) in self.0.clone().enumerate() {
            write!(f, "{}{item}", if position > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}
