// SPDX-License-Identifier: GPL-2.0

//! A part of a machine: devices, groups and units that a user names.

use crate::bdf::Bdf;
use crate::commands::why::find;
use crate::error::Result;
use crate::fail;
use crate::machine::{Device, Machine};

/// What a word of the command line names.
enum Part {
    Device(Bdf),
    Group(String),
    Unit(String),
}

impl Part {
    fn has(&self, bdf: Bdf, device: &Device) -> bool {
        match self {
            Self::Device(wanted) => *wanted == bdf,
            Self::Group(wanted) => device.group == *wanted,
            Self::Unit(wanted) => device.unit == *wanted,
        }
    }
}

fn part(machine: &Machine<'_>, word: &str) -> Result<Part> {
    if word.contains(':') {
        return Ok(Part::Device(find(machine, word)?.0));
    }
    if machine.units.contains_key(word) {
        return Ok(Part::Unit(word.to_owned()));
    }
    if machine.groups.contains_key(word) {
        return Ok(Part::Group(word.to_owned()));
    }
    let units: Vec<_> = machine.units.keys().map(String::as_str).collect();
    fail!(
        "'{word:.40}' is neither a device, such as 0000:00:05.0, nor the number of a group that is \
         here, nor a unit ({}).",
        units.join(", ")
    );
}

/// Removes all devices but those of the named parts, and units without any; nothing without a name.
///
/// # Errors
///
/// A sentence, if a name is of nothing here.
pub fn select(machine: &mut Machine<'_>, words: &[String]) -> Result<()> {
    if words.is_empty() {
        return Ok(());
    }
    let mut parts = Vec::new();
    for word in words {
        parts.push(part(machine, word)?);
    }
    machine
        .devices
        .retain(|bdf, device| parts.iter().any(|part| part.has(*bdf, device)));
    let devices = &machine.devices;
    for group in machine.groups.values_mut() {
        group.devices.retain(|bdf| devices.contains_key(bdf));
    }
    machine.groups.retain(|_, group| !group.devices.is_empty());
    machine.units.retain(|name, _| {
        let named = |part: &Part| matches!(part, Part::Unit(unit) if unit == name);
        parts.iter().any(named) || devices.values().any(|device| device.unit == *name)
    });
    Ok(())
}
