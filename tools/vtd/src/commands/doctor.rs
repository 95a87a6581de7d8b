// SPDX-License-Identifier: GPL-2.0

//! `vtd doctor`: whether this machine can run vtd, and what is in the way. Changes nothing.

use super::{unread, Answer, Context};
use crate::dump::Dump;
use crate::error::Result;
use crate::machine::Machine;
use crate::text::wrap;
use crate::{firmware, isolation};
use serde_json::{json, Value};
use vtd_core::dmar::{Dmar, Drhd};
use vtd_core::reserved_memory::keeps_users_away;

mod kernel;
mod machine_checks;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Good,
    /// Something to know, or to do before vtd is loaded.
    Mind,
    /// vtd cannot run until this is changed.
    Bad,
    Unknown,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Mind => "note",
            Self::Bad => "NO",
            Self::Unknown => "?",
        }
    }
}

/// One check.
pub struct Check {
    pub name: &'static str,
    pub verdict: Verdict,
    /// What was found, and what to do about it: sentences.
    pub words: String,
}

/// The checks so far.
#[derive(Default)]
pub struct Checks(Vec<Check>);

impl Checks {
    pub fn add(&mut self, name: &'static str, verdict: Verdict, words: impl Into<String>) {
        let words = words.into();
        self.0.push(Check {
            name,
            verdict,
            words,
        });
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.0
            .iter()
            .filter(|check| check.verdict == verdict)
            .count()
    }
}

pub fn run(context: &Context) -> Result<Answer> {
    let dump = context.dump()?;
    let machine = Machine::new(&dump);
    let mut checks = Checks::default();
    table(&machine, &mut checks);
    machine_checks::check(&machine, &mut checks);
    kernel::check(&dump, &mut checks);
    interrupts(&machine, &mut checks);
    let verdict = verdict(&dump, &checks);
    let mut text = String::new();
    for check in &checks.0 {
        text += &wrap(
            &format!("  {:<4}  {:<12} ", check.verdict.word(), check.name),
            &check.words,
        );
    }
    text += "\n";
    text += &wrap("", &verdict);
    text += &unread(&dump);
    let list: Vec<Value> = checks
        .0
        .iter()
        .map(|it| {
            json!({
                "check": it.name,
                "verdict": it.verdict.word().to_lowercase(),
                "words": it.words,
            })
        })
        .collect();
    let status = u8::from(checks.count(Verdict::Bad) > 0);
    let json = json!({
        "kernel": dump.kernel,
        "driver": dump.driver,
        "can_run": status == 0,
        "verdict": verdict,
        "checks": list,
        "problems": dump.problems.borrow().clone(),
    });
    Ok(Answer { text, json, status })
}

fn verdict(dump: &Dump, checks: &Checks) -> String {
    let bad: Vec<_> = checks
        .0
        .iter()
        .filter(|it| it.verdict == Verdict::Bad)
        .collect();
    let names: Vec<_> = bad.iter().map(|it| it.name.to_owned()).collect();
    let names = crate::text::list(&names);
    if !bad.is_empty() {
        return format!("vtd cannot run here as it is: {names}.");
    }
    if dump.driver == "vtd" {
        return "vtd runs here.".to_owned();
    }
    if checks.count(Verdict::Unknown) > 0 {
        return "Nothing found keeps vtd from running here, but not everything could be checked."
            .to_owned();
    }
    match checks.count(Verdict::Mind) {
        0 => "vtd can run here.".to_owned(),
        _ => "vtd can run here, once the notes are read.".to_owned(),
    }
}

fn table(machine: &Machine<'_>, checks: &mut Checks) {
    let denied = || {
        machine
            .dump
            .problems
            .borrow()
            .iter()
            .any(|it| it.contains("root"))
    };
    match firmware::table(machine) {
        None if denied() => checks.add(
            "DMAR table",
            Verdict::Unknown,
            "Only root can read it: sudo vtd doctor.",
        ),
        None => checks.add(
            "DMAR table",
            Verdict::Bad,
            "Firmware lists no remapping unit. Enable VT-d in the firmware's setup; an AMD or ARM \
             machine has other units, which vtd does not drive.",
        ),
        Some(Err(error)) => checks.add(
            "DMAR table",
            Verdict::Bad,
            format!("vtd's parser refuses it. {error}."),
        ),
        Some(Ok(dmar)) => parsed(machine, &dmar, checks),
    }
}

fn parsed(machine: &Machine<'_>, dmar: &Dmar<'_>, checks: &mut Checks) {
    let units: Vec<_> = dmar.units().collect();
    let bits = dmar.host_bits();
    let count = crate::text::many(units.len() as u64, "unit");
    checks.add(
        "DMAR table",
        Verdict::Good,
        format!("vtd's parser takes it: {count}, {bits} address bits."),
    );
    for unit in &units {
        serves(dmar, unit, checks);
    }
    translation_requests(dmar, checks);
    let mut wrong = Vec::new();
    dmar.notes(|note| {
        if note.is_wrong() {
            wrong.push(note.to_string());
        }
    });
    if let Some(first) = wrong.first() {
        let more = match wrong.len() {
            1 => String::new(),
            count => format!(" (and {} more)", count - 1),
        };
        checks.add(
            "firmware",
            Verdict::Mind,
            format!("The table has errors that vtd works around. {first}{more}."),
        );
    }
    let acpi = firmware::acpi_devices(dmar);
    if !acpi.is_empty() {
        checks.add(
            "ACPI devices",
            Verdict::Mind,
            format!(
                "{} do DMA and are no PCI devices: vtd keeps them blocked.",
                crate::text::list(&acpi)
            ),
        );
    }
    reserved(machine, dmar, checks);
}

/// Says what a unit serves, and which memory is near to it.
fn serves(dmar: &Dmar<'_>, unit: &Drhd<'_>, checks: &mut Checks) {
    let serves = firmware::serves(unit);
    let serves = if serves.len() > 200 {
        let end = serves
            .char_indices()
            .nth(200)
            .map_or(serves.len(), |(at, _)| at);
        format!("{} and more", &serves[..end])
    } else {
        serves
    };
    let near = dmar.proximity_of(unit.register_base);
    let near = near.map_or(String::new(), |node| {
        format!(" It is near to memory of proximity domain {node} (RHSA).")
    });
    checks.add(
        "unit",
        Verdict::Good,
        format!("{:#x} serves {serves}.{near}", unit.register_base.raw()),
    );
}

/// Says which devices may send translation requests.
fn translation_requests(dmar: &Dmar<'_>, checks: &mut Checks) {
    if let Some(listed) = firmware::translation_requests(dmar) {
        checks.add(
            "ATS",
            Verdict::Good,
            format!(
                "Firmware lets these send translation requests: {listed}. vtd turns ATS on for \
                 those that do not work without it, and with ats=2 for all that can."
            ),
        );
    }
}

/// Says which devices firmware itself uses.
fn reserved(machine: &Machine<'_>, dmar: &Dmar<'_>, checks: &mut Checks) {
    for (bdf, device) in &machine.devices {
        for (first, last) in firmware::reserved(machine, dmar, *bdf, device) {
            let kind =
                crate::names::kind(device.class).map_or(String::new(), |it| format!(" ({it})"));
            let users = if keeps_users_away(device.class, false) {
                format!("No user can have it, unless vtd is loaded with rmrr=relax:{bdf}")
            } else {
                "It can still be given to a user".to_owned()
            };
            checks.add(
                "reserved",
                Verdict::Mind,
                format!(
                    "{bdf}{kind}: firmware uses {first:#x} to {last:#x} (RMRR), which stays \
                     mapped. {users}."
                ),
            );
        }
    }
}

/// Says what vtd, which runs here, has done to interrupts; returns whether it shows that.
fn remapped_by_vtd(machine: &Machine<'_>, checks: &mut Checks) -> bool {
    let units = machine.units.iter();
    let shown: Vec<_> = units
        .filter(|(_, unit)| !unit.interrupts.is_empty())
        .collect();
    for (name, unit) in &shown {
        let state = unit.interrupts.split(';').next().unwrap_or_default();
        let verdict = match state {
            "remapped, devices isolated" => Verdict::Good,
            _ => Verdict::Mind,
        };
        checks.add("interrupts", verdict, format!("{name}: {state}."));
    }
    !shown.is_empty()
}

/// Says what booting with intremap=off costs on this machine.
fn interrupts(machine: &Machine<'_>, checks: &mut Checks) {
    if remapped_by_vtd(machine, checks) {
        return;
    }
    let dump = machine.dump;
    let mut words = Vec::new();
    let facts = dump.records("cpus", &["cpus", "x2apic"]);
    let cpus: u64 = facts
        .first()
        .and_then(|it| it["cpus"].parse().ok())
        .unwrap_or(0);
    if cpus > 255 {
        checks.add(
            "intremap=off",
            Verdict::Bad,
            format!(
                "This machine has {cpus} processors, and without interrupt remapping interrupts \
                 reach only the first 255; the kernel would leave the others off."
            ),
        );
        return;
    }
    let any = machine
        .devices
        .iter()
        .find(|(_, device)| !device.unit.is_empty());
    let device = any.map(|(_, device)| device);
    let is_remapped = device.is_some_and(|it| isolation::interrupts(machine, it).is_ok())
        || dump.text("interrupts").contains("IR-");
    if is_remapped {
        words.push(
            "Interrupts are remapped now, and vtd needs intremap=off. It remaps them itself where no \
             IO-APIC needs others (noapic). Elsewhere a device that is given to a user can raise any \
             interrupt, so VFIO and iommufd refuse until allow_unsafe_interrupts is set.",
        );
    } else {
        words.push("Interrupts are not remapped now, so vtd costs nothing there.");
    }
    if facts.first().is_some_and(|it| it["x2apic"] == "yes") && is_remapped {
        words.push("On bare metal the kernel also leaves x2APIC mode.");
    }
    let verdict = if is_remapped {
        Verdict::Mind
    } else {
        Verdict::Good
    };
    checks.add("interrupts", verdict, words.join(" "));
}
