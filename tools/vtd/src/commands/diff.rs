// SPDX-License-Identifier: GPL-2.0

//! `vtd diff A [B]`: what changed between two dumps, or since a dump.

use super::{Answer, Context};
use crate::dump::Dump;
use crate::error::Result;
use crate::machine::{Device, Group, Machine, Unit};
use crate::text::{grouped, wrap};
use serde_json::{json, Value};
use std::collections::BTreeSet;
use std::path::Path;

/// The name of a device's property, and its value.
type Property = (&'static str, fn(&Device) -> &str);

/// A difference: of what, in which property, from which value to which.
struct Change {
    of: String,
    name: String,
    from: String,
    to: String,
}

#[derive(Default)]
struct Changes(Vec<Change>);

impl Changes {
    fn add(&mut self, of: &str, name: &str, from: &str, to: &str) {
        if from != to {
            let word = |text: &str| {
                if text.is_empty() {
                    "none".to_owned()
                } else {
                    text.to_owned()
                }
            };
            self.0.push(Change {
                of: of.to_owned(),
                name: name.to_owned(),
                from: word(from),
                to: word(to),
            });
        }
    }
}

pub fn run(context: &Context, before: &Path, after: Option<&Path>) -> Result<Answer> {
    let first = Dump::read(before)?;
    let second = match after {
        Some(path) => Dump::read(path)?,
        None => context.dump()?,
    };
    let mut changes = Changes::default();
    changes.add("machine", "driver", &first.driver, &second.driver);
    changes.add("machine", "kernel", &first.kernel, &second.kernel);
    let (cmdline, now) = (first.word("cmdline"), second.word("cmdline"));
    if first.has("cmdline") && second.has("cmdline") {
        changes.add("machine", "command line", &cmdline, &now);
    }
    if first.has("acpi/DMAR") && second.has("acpi/DMAR") {
        let same = first.bytes("acpi/DMAR") == second.bytes("acpi/DMAR");
        changes.add(
            "machine",
            "DMAR table",
            "as before",
            if same { "as before" } else { "another" },
        );
    }
    let (one, two) = (Machine::new(&first), Machine::new(&second));
    units(&one, &two, &mut changes);
    devices(&one, &two, &mut changes);
    groups(&one, &two, &mut changes);
    let shown =
        |path: Option<&Path>| path.map_or("now".to_owned(), |path| path.display().to_string());
    let text = words(&changes, &shown(Some(before)), &shown(after));
    let list: Vec<Value> = changes
        .0
        .iter()
        .map(|it| json!({"of": it.of, "property": it.name, "from": it.from, "to": it.to}))
        .collect();
    let json = json!({"from": shown(Some(before)), "to": shown(after), "changes": list});
    // As diff(1) has it.
    let status = u8::from(!changes.0.is_empty());
    Ok(Answer { text, json, status })
}

fn words(changes: &Changes, before: &str, after: &str) -> String {
    if changes.0.is_empty() {
        return wrap(
            "",
            &format!("Nothing changed between {before} and {after}."),
        );
    }
    let mut text = wrap("", &format!("From {before} to {after}:"));
    let mut of = "";
    for change in &changes.0 {
        if change.of != of {
            of = &change.of;
            text += &format!("{of}\n");
        }
        let Change { name, from, to, .. } = change;
        let words = match (from.parse::<u64>(), to.parse::<u64>()) {
            (Ok(from), Ok(to)) if name != "group" && name != "domain-id" => {
                let sign = if to >= from { "+" } else { "-" };
                let by = grouped(to.abs_diff(from));
                format!("{sign}{by} ({} to {})", grouped(from), grouped(to))
            }
            _ => format!("{from} -> {to}"),
        };
        text += &wrap(&format!("  {name:<17} "), &words);
    }
    text
}

/// Returns all keys of both, in order.
fn keys<'k, K: Ord + 'k>(
    one: impl Iterator<Item = &'k K>,
    two: impl Iterator<Item = &'k K>,
) -> BTreeSet<&'k K> {
    one.chain(two).collect()
}

fn units(one: &Machine<'_>, two: &Machine<'_>, changes: &mut Changes) {
    let nothing = Unit::default();
    for name in keys(one.units.keys(), two.units.keys()) {
        let there = |machine: &Machine<'_>| {
            if machine.units.contains_key(name) {
                "in use"
            } else {
                "not in use"
            }
            .to_owned()
        };
        changes.add(name, "unit", &there(one), &there(two));
        let (before, after) = (
            one.units.get(name).unwrap_or(&nothing),
            two.units.get(name).unwrap_or(&nothing),
        );
        if !there(one).eq(&there(two)) {
            continue;
        }
        if one.is_ours() == two.is_ours() {
            changes.add(name, "state", &before.state, &after.state);
        }
        for fact in keys(before.facts.keys(), after.facts.keys()) {
            let value = |unit: &Unit| unit.facts.get(fact).cloned().unwrap_or_default();
            changes.add(name, fact, &value(before), &value(after));
        }
        // A counter that only one of them has is of another version or driver.
        for (counter, from) in before.counts.iter().chain(&before.waits) {
            let mut all = after.counts.iter().chain(&after.waits);
            if let Some((_, to)) = all.find(|(other, _)| other == counter) {
                changes.add(name, counter, &from.to_string(), &to.to_string());
            }
        }
    }
}

fn devices(one: &Machine<'_>, two: &Machine<'_>, changes: &mut Changes) {
    for bdf in keys(one.devices.keys(), two.devices.keys()) {
        let of = bdf.to_string();
        let (before, after) = match (one.devices.get(bdf), two.devices.get(bdf)) {
            (Some(before), Some(after)) => (before, after),
            (None, _) => {
                changes.add(&of, "device", "absent", "present");
                continue;
            }
            (_, None) => {
                changes.add(&of, "device", "present", "absent");
                continue;
            }
        };
        let identity = |device: &Device| {
            format!(
                "{:04x}:{:04x} class {:06x}",
                device.vendor, device.id, device.class
            )
        };
        changes.add(&of, "device", &identity(before), &identity(after));
        let texts: [Property; 6] = [
            ("driver", |device| &device.driver),
            ("unit", |device| &device.unit),
            ("group", |device| &device.group),
            ("attached", |device| &device.attached),
            ("domain", |device| &device.domain),
            ("domain-id", |device| &device.domain_id),
        ];
        // The drivers number domains each in their own way.
        let comparable = if one.is_ours() == two.is_ours() { 6 } else { 4 };
        for (name, text) in texts.into_iter().take(comparable) {
            changes.add(&of, name, text(before), text(after));
        }
        if let (Some(from), Some(to)) = (before.faults, after.faults) {
            changes.add(&of, "faults", &from.to_string(), &to.to_string());
        }
        if let (Some(from), Some(to)) = (before.config(), after.config()) {
            let set = |config: &crate::config_space::ConfigSpace<'_>| {
                [
                    ("ACS", format!("{:?}", config.acs())),
                    ("ATS", format!("{:?}", config.ats())),
                    ("PASID", format!("{:?}", config.pasid())),
                ]
            };
            for ((name, from), (_, to)) in set(&from).into_iter().zip(set(&to)) {
                changes.add(&of, name, &from.to_lowercase(), &to.to_lowercase());
            }
        }
    }
}

fn groups(one: &Machine<'_>, two: &Machine<'_>, changes: &mut Changes) {
    for number in keys(one.groups.keys(), two.groups.keys()) {
        // Groups that come and go are seen in the devices.
        let (Some(before), Some(after)) = (one.groups.get(number), two.groups.get(number)) else {
            continue;
        };
        let of = format!("group {number}");
        changes.add(&of, "type", &before.kind, &after.kind);
        changes.add(&of, "owner", &before.owner, &after.owner);
        let regions = |group: &Group| {
            let regions = group.reserved.iter();
            let regions = regions.map(|(first, last, kind)| format!("{first:#x}-{last:#x} {kind}"));
            regions.collect::<Vec<_>>().join(", ")
        };
        changes.add(&of, "reserved", &regions(before), &regions(after));
    }
}
