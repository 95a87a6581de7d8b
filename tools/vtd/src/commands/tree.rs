// SPDX-License-Identifier: GPL-2.0

//! `vtd tree`: units, buses, groups, owners and domains as a tree of text, and as a picture.

use super::{unread, Answer, Context};
use crate::bdf::Bdf;
use crate::drawing::{
    domain_of, domains, entries_of, faults_of, joined, kind_of, place, Domain, Owner,
};
use crate::error::{said, Result};
use crate::fail;
use crate::machine::{Device, Machine, Unit};
use crate::selection::select;
use crate::svg;
use crate::table::{aligned, Row};
use crate::text::{cut, grouped, lines, many, terminal, wrap};
use serde_json::{json, Value};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// A path of a dump may have any length.
const MOST_BRIDGES: usize = 32;
/// So may its words.
const LONGEST_CELL: usize = 64;
const LONGEST_LINE: usize = 200;

pub fn run(context: &Context, only: &[String], picture: Option<&Path>) -> Result<Answer> {
    let dump = context.dump()?;
    let mut machine = Machine::new(&dump);
    if machine.units.is_empty() && context.dump.is_none() && context.root.is_live() {
        fail!("No remapping unit is in use here: vtd is not loaded, and the kernel's own driver is off. vtd doctor says what this machine has.");
    }
    select(&mut machine, only)?;
    let mut domains = domains(&machine);
    if !only.is_empty() {
        domains.retain(|_, domain| domain.is_used);
    }
    if let Some(path) = picture {
        if let Err(error) = std::fs::write(path, svg::draw(&machine, &domains)) {
            fail!("{} cannot be written: {}.", path.display(), said(&error));
        }
    }
    let mut text = format!("{}\n", title(&machine));
    for (name, unit) in &machine.units {
        text += &draw_unit(&machine, &domains, name, unit);
    }
    text += &rest(&machine, &domains);
    text += &unread(&dump);
    let json = json!({
        "kernel": dump.kernel,
        "driver": dump.driver,
        "units": machine.units.iter().map(|(name, unit)| unit_json(&machine, name, unit)).collect::<Vec<_>>(),
        "domains": domains.values().map(domain_json).collect::<Vec<_>>(),
        "problems": dump.problems.borrow().clone(),
    });
    Ok(Answer {
        text,
        json,
        status: 0,
    })
}

/// Returns whose machine it is: `vtd on Linux 7.3.4`.
pub fn title(machine: &Machine<'_>) -> String {
    let driver = match machine.dump.driver.as_str() {
        "vtd" => "vtd",
        "none" => "no driver",
        _ => "the kernel's own driver",
    };
    format!("{driver} on Linux {}", machine.dump.kernel)
}

/// Returns a unit's properties and counters, a line each.
fn unit_words(name: &str, unit: &Unit) -> Vec<String> {
    let state = Some(unit.state.clone());
    let mut lines = vec![joined([Some(format!("{name}: {}", unit.title())), state])];
    lines.push(format!(
        "tables of {}; pages of {}; {} in use",
        unit.tables(),
        unit.page_sizes(),
        unit.domain_ids()
    ));
    if !unit.interrupts.is_empty() {
        lines.push(format!("interrupts: {}", unit.interrupts));
    }
    if unit.counts.is_empty() {
        return lines;
    }
    let counts = ["map", "unmap", "descriptor", "fault"];
    lines.push(joined(
        counts.map(|name| Some(many(unit.count(&format!("{name}s")), name))),
    ));
    let used = |found: &[(String, u64)], prefix: &str, of: &str| {
        joined(
            found
                .iter()
                .filter(|(_, count)| *count > 0)
                .map(|(name, count)| {
                    let name = name.strip_prefix(prefix)?.replace('-', " ");
                    Some(format!("{}{of} {name}", grouped(*count)))
                }),
        )
    };
    for (label, words) in [
        ("invalidations", used(&unit.counts, "flush-", " of")),
        ("waits", used(&unit.waits, "", "")),
    ] {
        if !words.is_empty() {
            lines.push(format!("{label}: {words}"));
        }
    }
    lines
}

fn cells(
    machine: &Machine<'_>,
    domains: &BTreeMap<String, Domain>,
    device: &Device,
) -> Vec<String> {
    let word = |word: &str, without: &str| {
        if word.is_empty() {
            without.to_owned()
        } else {
            word.to_owned()
        }
    };
    let group = match device.group.as_str() {
        "" => "no group".to_owned(),
        name => format!("group {name}"),
    };
    let owner = match device.group.as_str() {
        "" => "",
        name => Owner::of(machine, name).words(),
    };
    let (at, what) = match domains.get(&domain_of(device)) {
        None => (device.attached.clone(), String::new()),
        Some(domain) => {
            let id = match device.domain_id.as_str() {
                id if !id.is_empty() && !device.domain.is_empty() => format!(" (domain-id {id})"),
                _ => String::new(),
            };
            let words = [domain.kind(), domain.pages(), domain.work()].map(Some);
            (format!("{}{id}", domain.name), joined(words))
        }
    };
    vec![
        kind_of(device),
        word(&device.driver, "no driver"),
        group,
        owner.to_owned(),
        at,
        what,
        faults_of(device),
        entries_of(device),
    ]
    .into_iter()
    .map(|cell| cut(&cell, LONGEST_CELL))
    .collect()
}

/// The functions below a bus or a bridge.
#[derive(Default)]
struct Node(BTreeMap<Bdf, Node>);

/// Appends a line for each function below a node: its name with the tree's lines, and its cells.
fn below(
    machine: &Machine<'_>,
    domains: &BTreeMap<String, Domain>,
    node: &Node,
    indent: &str,
    rows: &mut Vec<Row>,
) {
    let last = node.0.len().saturating_sub(1);
    for (at, (bdf, inner)) in node.0.iter().enumerate() {
        let (corner, more) = if at == last {
            ("└─", "   ")
        } else {
            ("├─", "│  ")
        };
        let indent_below = format!("{indent}{more}");
        let bar = if inner.0.is_empty() { "" } else { "│" };
        rows.push(Row {
            head: format!("{indent}{corner} {bdf}"),
            below: format!("{indent_below}{bar}"),
            cells: match machine.devices.get(bdf) {
                Some(device) => cells(machine, domains, device),
                None => vec!["bridge".to_owned()],
            },
        });
        below(machine, domains, inner, &indent_below, rows);
    }
}

fn draw_unit(
    machine: &Machine<'_>,
    domains: &BTreeMap<String, Domain>,
    name: &str,
    unit: &Unit,
) -> String {
    let mut roots: BTreeMap<&str, Node> = BTreeMap::new();
    for (bdf, device) in &machine.devices {
        if device.unit == name {
            let root = if device.root.is_empty() {
                "?"
            } else {
                &device.root
            };
            let mut node = roots.entry(root).or_default();
            for bridge in device.bridges.iter().take(MOST_BRIDGES) {
                node = node.0.entry(*bridge).or_default();
            }
            node.0.entry(*bdf).or_default();
        }
    }
    let mut rows = Vec::new();
    let last = roots.len().saturating_sub(1);
    for (at, (root, node)) in roots.iter().enumerate() {
        let (corner, more) = if at == last {
            ("└─", "   ")
        } else {
            ("├─", "│  ")
        };
        rows.push(Row {
            head: format!("{corner} root bus {}", cut(root, LONGEST_CELL)),
            below: String::new(),
            cells: Vec::new(),
        });
        below(machine, domains, node, more, &mut rows);
    }
    let mut text = "\n".to_owned();
    let words = unit_words(name, unit);
    for (at, line) in words.iter().enumerate() {
        let bar = match at {
            0 => "",
            _ if rows.is_empty() => "   ",
            _ => "│  ",
        };
        let width = terminal().unwrap_or(LONGEST_LINE);
        let line = cut(line, LONGEST_LINE);
        text += &lines(bar, bar, &line, width);
    }
    text + &aligned(&rows, terminal())
}

/// Returns what the trees do not have: devices behind no unit, and domains without a device.
fn rest(machine: &Machine<'_>, domains: &BTreeMap<String, Domain>) -> String {
    let mut text = String::new();
    let elsewhere = machine
        .devices
        .iter()
        .filter(|(_, device)| device.unit.is_empty());
    let names = joined(elsewhere.map(|(bdf, _)| Some(bdf.to_string())));
    if !names.is_empty() {
        text += "\n";
        text += &wrap("behind no unit: ", &names);
    }
    for domain in domains.values().filter(|domain| !domain.is_used) {
        let words = joined([Some(domain.kind()), Some(domain.pages())]);
        let line = format!("no device is in {}: {words}", domain.name);
        let _ = writeln!(text, "{}", cut(&line, LONGEST_LINE));
    }
    text
}

fn unit_json(machine: &Machine<'_>, name: &str, unit: &Unit) -> Value {
    let mut devices: Vec<_> = machine
        .devices
        .iter()
        .filter(|(_, device)| device.unit == name)
        .collect();
    devices.sort_by_key(|(bdf, device)| place(**bdf, device));
    let some = |word: &str| (!word.is_empty()).then(|| word.to_owned());
    let devices = devices.into_iter().map(|(bdf, device)| {
        json!({
            "device": bdf.to_string(),
            "kind": kind_of(device),
            "driver": some(&device.driver),
            "root": some(&device.root),
            "bridges": device.bridges.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "group": some(&device.group),
            "owner": some(&device.group).map(|group| Owner::of(machine, &group).words()),
            "attached": some(&device.attached),
            "domain": some(&domain_of(device)),
            "domain_id": some(&device.domain_id),
            "faults": device.faults,
            "interrupts": device.entries,
        })
    });
    json!({
        "name": name,
        "address": unit.address().map(|address| format!("{address:#x}")),
        "version": unit.fact("version"),
        "state": some(&unit.state),
        "tables": unit.tables(),
        "page_sizes": unit.page_sizes(),
        "domain_ids": {
            "used": unit.number("domains_used"),
            "supported": unit.number("domains_supported"),
        },
        "interrupts": some(&unit.interrupts),
        "counts": unit.counts.iter().cloned().collect::<BTreeMap<_, _>>(),
        "waits": unit.waits.iter().cloned().collect::<BTreeMap<_, _>>(),
        "devices": devices.collect::<Vec<_>>(),
    })
}

fn domain_json(domain: &Domain) -> Value {
    json!({
        "name": domain.name,
        "type": domain.kind(),
        "ids": domain.ids,
        "width": domain.width,
        "large_pages": domain.large,
        "mapped": domain.mapped,
        "tables": domain.tables,
        "maps": domain.maps,
        "in_use": domain.is_used,
    })
}

/// Returns a number of faults for the picture, if there are any.
pub fn unit_faults(unit: &Unit) -> Option<String> {
    let count = unit.count("faults");
    (count > 0).then(|| many(count, "fault"))
}
