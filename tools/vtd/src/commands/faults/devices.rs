// SPDX-License-Identifier: GPL-2.0

//! What the devices are that lines about faults name.

use super::{Entry, Options};
use crate::bdf::Bdf;
use crate::commands::Context;
use crate::fault_line::Line;
use crate::machine::Machine;
use crate::names::Names;
use crate::text::wrap;
use serde_json::{json, Value};
use std::collections::BTreeSet;

/// A device of the machine: its name, driver and group.
pub struct Known {
    bdf: Bdf,
    name: String,
    driver: Option<String>,
    group: Option<String>,
}

/// Returns what is known of the devices. A log in a file may be of another machine, so that it takes
/// a dump.
pub fn known(context: &Context, options: &Options, entries: &[Entry]) -> Vec<Known> {
    let faults = entries.iter().filter_map(|entry| match &entry.line {
        Line::Fault(fault) => Some(fault.bdf),
        _ => None,
    });
    let wanted: BTreeSet<_> = faults.collect();
    let is_of_another = !options.files.is_empty() && context.dump.is_none();
    if wanted.is_empty() || is_of_another {
        return Vec::new();
    }
    let Ok(dump) = context.dump() else {
        return Vec::new();
    };
    let machine = Machine::new(&dump);
    let found = wanted
        .into_iter()
        .filter_map(|bdf| Some((bdf, machine.devices.get(&bdf)?)));
    let found: Vec<_> = found.collect();
    let numbers = found.iter().map(|(_, device)| (device.vendor, device.id));
    let names = Names::of(&context.root, numbers);
    let some = |word: &str| (!word.is_empty()).then(|| word.to_owned());
    let known = found.into_iter().map(|(bdf, device)| Known {
        bdf,
        name: names.of_device(device),
        driver: some(&device.driver),
        group: some(&device.group),
    });
    known.collect()
}

pub fn words(devices: &[Known]) -> String {
    let mut text = String::new();
    for device in devices {
        let driver = device.driver.as_deref().unwrap_or("none");
        let group = device.group.as_deref().unwrap_or("none");
        let first = format!("{} is ", device.bdf);
        let words = format!("{}; driver {driver}, group {group}", device.name);
        text += &wrap(&first, &words);
    }
    text
}

pub fn json(devices: &[Known]) -> Value {
    let list = devices.iter().map(|device| {
        json!({
            "device": device.bdf.to_string(),
            "name": device.name,
            "driver": device.driver,
            "group": device.group,
        })
    });
    list.collect()
}
