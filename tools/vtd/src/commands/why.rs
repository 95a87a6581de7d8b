// SPDX-License-Identifier: GPL-2.0

//! `vtd why DEVICE`: its unit, its group and what makes the group so large, what firmware reserves,
//! whether it can be given to a user, ATS and PASID, interrupts.

mod features;

use super::{unread, Answer, Context};
use crate::bdf::Bdf;
use crate::drawing::flushing;
use crate::error::Result;
use crate::fail;
use crate::firmware;
use crate::isolation::{consent, interrupt_entries, interrupts, joints, obstacles};
use crate::machine::{Device, Machine};
use crate::names::Names;
use crate::table::columns;
use crate::text::{clip, list, many, size, wrap};
use features::features;
use serde_json::{json, Value};

/// The most devices and obstacles that are listed.
const MOST: usize = 16;
/// The width of the labels.
const LABEL: usize = 12;

fn row(label: &str, text: &str) -> String {
    wrap(&format!("  {label:<LABEL$}"), text)
}

/// Finds a device by its address, or fails with a sentence that helps.
pub fn find<'m>(machine: &'m Machine<'_>, name: &str) -> Result<(Bdf, &'m Device)> {
    let Some(bdf) = Bdf::parse(name) else {
        fail!("'{name:.40}' is no device address; give one such as 0000:00:05.0 or 00:05.0.");
    };
    if let Some(device) = machine.devices.get(&bdf) {
        return Ok((bdf, device));
    }
    if machine.devices.is_empty() {
        fail!("No PCI device is listed here at all; if sysfs is not mounted: mount -t sysfs sysfs /sys.");
    }
    let near = machine.devices.keys().find(|other| {
        other.source.bus() == bdf.source.bus() && other.source.device() == bdf.source.device()
    });
    match near {
        Some(near) => fail!("There is no device {bdf} here; {near} exists."),
        None => fail!(
            "There is no device {bdf} here; lspci -D, or ls /sys/bus/pci/devices, lists the {}.",
            machine.devices.len()
        ),
    }
}

pub fn run(context: &Context, name: &str) -> Result<Answer> {
    let dump = context.dump()?;
    let machine = Machine::new(&dump);
    let (bdf, device) = find(&machine, name)?;
    let wanted = machine
        .devices
        .values()
        .map(|device| (device.vendor, device.id));
    let names = Names::of(&context.root, wanted);
    let mut text = wrap(&format!("{bdf}  "), &names.of_device(device));
    let driver = if device.driver.is_empty() {
        "none"
    } else {
        &device.driver
    };
    text += &row("driver", driver);
    let unit = unit_words(&machine, bdf, device);
    text += &row("unit", &unit);
    text += &group_words(&machine, bdf, device, &names);
    let reach = reach_words(&machine, device);
    text += &row("reaches", &reach);
    let reserved = reserved(&machine, bdf, device);
    text += &reserved_words(&reserved);
    let features = features(&machine, bdf, device);
    for (label, words) in &features {
        text += &row(label, words);
    }
    let isolated = interrupts(&machine, device);
    text += &row(
        "interrupts",
        &match &isolated {
            Ok(why) => format!("isolated: {why}"),
            Err(why) => format!("not isolated: {why}"),
        },
    );
    let entries = interrupt_entries(&machine, bdf, device);
    if !entries.is_empty() {
        let words: Vec<_> = entries.iter().map(u64::to_string).collect();
        text += &row("entries", &list(&words));
    }
    text += &user_words(&machine, bdf, device);
    text += &unread(&dump);
    let mut json = facts(&machine, bdf, device);
    json["name"] = json!(names.of_device(device));
    json["unit_words"] = json!(unit);
    json["reserved"] = reserved.iter().map(region_json).collect();
    json["features"] = features
        .iter()
        .map(|(name, state)| json!({"name": name, "state": state}))
        .collect();
    json["interrupts_isolated"] = json!(isolated.is_ok());
    json["interrupt_entries"] = json!(entries);
    json["interrupts_why"] = json!(isolated.unwrap_or_else(|why| why));
    json["problems"] = json!(dump.problems.borrow().clone());
    Ok(Answer {
        text,
        json,
        status: 0,
    })
}

fn region_json((first, last, kind): &(u64, u64, String)) -> Value {
    json!({"first": format!("{first:#x}"), "last": format!("{last:#x}"), "kind": kind})
}

/// Returns what is known of a device, for programs.
fn facts(machine: &Machine<'_>, bdf: Bdf, device: &Device) -> Value {
    let group = machine.groups.get(&device.group);
    let others: Vec<_> = group.map_or(Vec::new(), |group| {
        group.devices.iter().map(ToString::to_string).collect()
    });
    let joined: Vec<Value> = joints(machine, &device.group)
        .into_iter()
        .map(|joint| {
            let at: Vec<_> = joint.at.iter().map(ToString::to_string).collect();
            json!({"at": at, "why": joint.why})
        })
        .collect();
    let barred: Vec<Value> = obstacles(machine, bdf, device)
        .into_iter()
        .map(|it| json!({"why": it.why, "remedy": it.remedy}))
        .collect();
    json!({
        "device": bdf.to_string(),
        "driver": word(&device.driver),
        "unit": word(&device.unit),
        "group": word(&device.group),
        "group_type": group.and_then(|group| word(&group.kind)),
        "owner": group.and_then(|group| word(&group.owner)),
        "group_devices": others,
        "group_joined_by": joined,
        "attached": word(&device.attached),
        "domain": word(&device.domain),
        "domain_id": word(&device.domain_id),
        "faults": device.faults,
        "untrusted": device.untrusted,
        "unsafe_interrupts_allowed": consent(machine),
        "obstacles": barred,
    })
}

fn word(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn unit_words(machine: &Machine<'_>, bdf: Bdf, device: &Device) -> String {
    let listed = match firmware::table(machine) {
        None => None,
        Some(Err(error)) => return format!("unknown: {error}"),
        Some(Ok(dmar)) => firmware::unit_of(machine, &dmar, bdf, device),
    };
    let base = listed.map(|unit| unit.register_base.raw());
    match (machine.units.get(&device.unit), base) {
        (Some(unit), base) => {
            let name = &device.unit;
            let at = unit.address();
            let at = at.map_or("an unknown address".to_owned(), |at| format!("{at:#x}"));
            let state = if unit.state.is_empty() {
                String::new()
            } else {
                format!(", {}", unit.state)
            };
            let other = match (base, unit.address()) {
                (Some(base), Some(at)) if base != at => {
                    format!(", although firmware lists the device behind the unit at {base:#x}")
                }
                _ => String::new(),
            };
            format!("{name} at {at}{state}{other}")
        }
        (None, Some(base)) => format!(
            "none in use; firmware lists it behind the unit at {base:#x}, which no driver runs for \
             it"
        ),
        (None, None) => "none: nothing limits what the device reaches".to_owned(),
    }
}

fn group_words(machine: &Machine<'_>, bdf: Bdf, device: &Device, names: &Names) -> String {
    let Some(group) = machine.groups.get(&device.group) else {
        return row("group", "none");
    };
    let mut words = device.group.clone();
    if !group.kind.is_empty() {
        words += &format!(", type {}", group.kind);
    }
    if !group.owner.is_empty() {
        words += &format!(", owner {}", group.owner);
    }
    let others: Vec<_> = group
        .devices
        .iter()
        .filter(|other| **other != bdf)
        .collect();
    if others.is_empty() {
        return row("group", &format!("{words}, with no other device"));
    }
    let count = many(others.len() as u64, "other device");
    let mut text = row("group", &format!("{words}, with {count}:"));
    let rows: Vec<_> = others
        .iter()
        .take(MOST)
        .filter_map(|other| Some((other, machine.devices.get(other)?)))
        .map(|(other, device)| {
            let driver = if device.driver.is_empty() {
                "no driver"
            } else {
                &device.driver
            };
            vec![
                other.to_string(),
                driver.to_owned(),
                names.of_device(device),
            ]
        })
        .collect();
    for line in columns(&rows, None).lines() {
        text += &clip(&format!("{}{line}", " ".repeat(LABEL + 4)));
    }
    if let Some(more) = others.len().checked_sub(MOST + 1) {
        text += &row("", &format!("  and {} more", more + 1));
    }
    text + &joint_words(machine, device)
}

/// Says what joins the group of a device.
fn joint_words(machine: &Machine<'_>, device: &Device) -> String {
    let joints = joints(machine, &device.group);
    if joints.is_empty() {
        let why = if device.config().is_some() {
            "Configuration space does not show why: the kernel knows a reason by itself (an alias \
             of requester IDs, or a quirk)."
        } else {
            "Why they are one group only root can read (access control in configuration space)."
        };
        return row("", why);
    }
    let mut text = row(
        "",
        "They reach each other without passing the unit, because of",
    );
    for joint in &joints {
        let mut at: Vec<_> = joint
            .at
            .iter()
            .take(MOST)
            .map(ToString::to_string)
            .collect();
        if let Some(more) = joint.at.len().checked_sub(MOST + 1) {
            at.push(format!("{} more", more + 1));
        }
        let first = format!("{}- ", " ".repeat(LABEL + 2));
        text += &wrap(&first, &format!("{}: {}", list(&at), joint.why));
    }
    text
}

fn reach_words(machine: &Machine<'_>, device: &Device) -> String {
    let faults = match device.faults {
        None => "; faults are not counted".to_owned(),
        Some(count) => format!("; {} so far", many(count, "fault")),
    };
    let number = |line: &crate::dump::Record, name: &str| {
        line.get(name).and_then(|text| text.parse::<u64>().ok())
    };
    let domain = machine.domains.get(&device.domain);
    let what = match device.attached.as_str() {
        "" => "unknown: the driver does not show what it is attached to".to_owned(),
        "identity" => "all of memory: identity domain".to_owned(),
        "untranslated" | "no-unit" => "all of memory: no unit limits it".to_owned(),
        "blocked" => "nothing: it is blocked".to_owned(),
        "DMA-FQ" => "what its driver maps (DMA API), also for a while after an unmap".to_owned(),
        "DMA" => format!(
            "what its driver maps (DMA API, {})",
            flushing(machine, device)
        ),
        "unmanaged" => "what its user or driver has mapped".to_owned(),
        "translated" => "what is mapped in its domain".to_owned(),
        other => format!("what is mapped ({other})"),
    };
    let mapped = domain.and_then(|line| {
        let mapped = number(line, "mapped-bytes")?.checked_sub(number(line, "unmapped-bytes")?)?;
        Some(match mapped {
            0 => ": nothing now".to_owned(),
            mapped => format!(": {} now", size(mapped)),
        })
    });
    let place = match (device.domain.is_empty(), device.domain_id.is_empty()) {
        (false, false) => format!(
            ", domain {} (domain-id {})",
            device.domain, device.domain_id
        ),
        (true, false) => format!(", domain-id {}", device.domain_id),
        _ => String::new(),
    };
    format!("{what}{}{place}{faults}", mapped.unwrap_or_default())
}

/// Returns what firmware reserves for the device, by the driver that runs, or else by the table.
fn reserved(machine: &Machine<'_>, bdf: Bdf, device: &Device) -> Vec<(u64, u64, String)> {
    let group = machine.groups.get(&device.group);
    let mut found: Vec<_> = group.map_or(Vec::new(), |group| {
        let direct = group
            .reserved
            .iter()
            .filter(|(_, _, kind)| kind.starts_with("direct"));
        direct.cloned().collect()
    });
    if let Some(Ok(dmar)) = firmware::table(machine) {
        for (first, last) in firmware::reserved(machine, &dmar, bdf, device) {
            if !found.iter().any(|(known, _, _)| *known == first) {
                found.push((first, last, "not used by the running driver".to_owned()));
            }
        }
    }
    found
}

fn reserved_words(reserved: &[(u64, u64, String)]) -> String {
    if reserved.is_empty() {
        return row("reserved", "firmware reserves no memory for it (no RMRR)");
    }
    let mut text = String::new();
    for (at, (first, last, kind)) in reserved.iter().enumerate() {
        let label = if at == 0 { "reserved" } else { "" };
        let bytes = size((last - first.min(last)).saturating_add(1));
        let what = match kind.as_str() {
            "direct" => "always mapped, because firmware uses it (RMRR)",
            "direct-relaxable" => "by firmware (RMRR), but only until a driver runs the device",
            other => other,
        };
        text += &row(label, &format!("{first:#x} to {last:#x}, {bytes}: {what}"));
    }
    text
}

fn user_words(machine: &Machine<'_>, bdf: Bdf, device: &Device) -> String {
    let found = obstacles(machine, bdf, device);
    if found.is_empty() {
        let text = if device.driver.contains("vfio") {
            "it can be used through VFIO: nothing keeps it back"
        } else {
            "nothing keeps it back: vtd give shows the steps"
        };
        return row("to a user", text);
    }
    let mut text = row("to a user", "not now:");
    let count = found.len();
    for it in found.into_iter().take(MOST) {
        let first = format!("{}- ", " ".repeat(LABEL + 2));
        text += &wrap(
            &first,
            &format!("{}. To change that: {}.", it.why, it.remedy),
        );
    }
    if count > MOST {
        text += &row("", &format!("- and {} more", count - MOST));
    }
    text
}
