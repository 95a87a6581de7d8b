// SPDX-License-Identifier: GPL-2.0

//! What the units can do, what the chipset needs, and which drivers come before vtd.

use super::{Checks, Verdict};
use crate::bdf::Bdf;
use crate::machine::{Device, Machine};
use crate::text::{list, many};
use std::collections::BTreeMap;
use vtd_core::compatibility::{Restriction, WalkCapabilities};
use vtd_core::quirks::{IgnoreList, PciFunction, Quirks, UnitVerdict};
use vtd_core::spec::registers::TranslationTableMode;
use vtd_core::translation_mode::check_scalable_mode;

/// A function whose quirk depends on a register is checked by the module itself.
fn function(bdf: Bdf, device: &Device) -> Option<PciFunction> {
    Some(PciFunction {
        segment: bdf.vtd_segment()?,
        source: bdf.source,
        vendor: device.vendor,
        device: device.id,
        class: device.class,
        untrusted: device.untrusted,
        on_root_bus: device.bridges.is_empty(),
        buses_below: device.config().and_then(|config| config.buses_below()),
        register: None,
    })
}

pub fn check(machine: &Machine<'_>, checks: &mut Checks) {
    capabilities(machine, checks);
    quirks(machine, checks);
    built_in(machine, checks);
}

fn capabilities(machine: &Machine<'_>, checks: &mut Checks) {
    let host_bits = match crate::firmware::table(machine) {
        Some(Ok(dmar)) => dmar.host_bits(),
        _ => 64,
    };
    for (name, unit) in &machine.units {
        let (Some(cap), Some(ecap)) = (unit.cap(), unit.ecap()) else {
            continue;
        };
        let walk = WalkCapabilities {
            cap,
            ecap,
            mode: match check_scalable_mode(cap, ecap, true, ecap.queued_invalidation()) {
                Ok(()) => TranslationTableMode::Scalable,
                Err(_) => TranslationTableMode::Legacy,
            },
            restriction: Restriction::default(),
        };
        let format = walk
            .format(host_bits)
            .filter(|format| walk.check(format, 4096).is_ok());
        match (cap.domain_count(), format) {
            (None, _) => checks.add(
                "capabilities",
                Verdict::Bad,
                format!("{name} has a reserved number of domains, which vtd refuses."),
            ),
            (_, None) => checks.add(
                "capabilities",
                Verdict::Mind,
                format!("{name} walks no second-stage tables; vtd leaves it out."),
            ),
            (Some(count), Some(format)) => {
                let queue = if ecap.queued_invalidation() {
                    "a queue"
                } else {
                    "registers"
                };
                checks.add(
                    "capabilities",
                    Verdict::Good,
                    format!(
                        "{name}: {}-bit tables, {}, invalidation by {queue}.",
                        format.geometry.width.bits(),
                        many(u64::from(count), "domain")
                    ),
                );
            }
        }
    }
    if machine.units.is_empty() {
        checks.add(
            "capabilities",
            Verdict::Mind,
            "No driver runs a unit now, so what the units can do is not shown. vtd reads it when \
             it is loaded, and refuses before it changes anything.",
        );
    }
}

fn quirks(machine: &Machine<'_>, checks: &mut Checks) {
    let functions: Vec<_> = machine
        .devices
        .iter()
        .filter_map(|(bdf, device)| function(*bdf, device))
        .collect();
    let quirks = Quirks::of(&functions);
    let strict = quirks.strict(&IgnoreList::NOTHING);
    for found in quirks.of_all_units().chain(strict) {
        checks.add(
            "chipset",
            Verdict::Mind,
            format!("{found}. vtd works around it."),
        );
    }
    let Some(Ok(dmar)) = crate::firmware::table(machine) else {
        return;
    };
    let mut served = 0;
    for unit in dmar.units() {
        match quirks.verdict(&unit, &functions, &IgnoreList::NOTHING) {
            UnitVerdict::Serve(_) => served += 1,
            UnitVerdict::LeaveOut(why) => checks.add(
                "unit",
                Verdict::Mind,
                format!("{:#x} is left out: {why}.", unit.register_base.raw()),
            ),
        }
    }
    if served == 0 && !functions.is_empty() {
        checks.add("unit", Verdict::Bad, "vtd would leave out every unit.");
    }
}

/// Names the drivers that bind before any module can be loaded.
fn built_in(machine: &Machine<'_>, checks: &mut Checks) {
    let drivers = machine.dump.records("drivers", &["driver", "module"]);
    let is_built_in: BTreeMap<_, _> = drivers
        .iter()
        .map(|line| (line["driver"].as_str(), line["module"] == "no"))
        .collect();
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (bdf, device) in &machine.devices {
        // Port drivers do no DMA.
        if device.driver != "pcieport" && is_built_in.get(device.driver.as_str()) == Some(&true) {
            found
                .entry(&device.driver)
                .or_default()
                .push(bdf.to_string());
        }
    }
    if found.is_empty() {
        if !drivers.is_empty() {
            checks.add(
                "drivers",
                Verdict::Good,
                "All drivers of PCI devices are modules: vtd can be loaded before them.",
            );
        }
        return;
    }
    let names: Vec<_> = found
        .iter()
        .map(|(driver, devices)| match devices.as_slice() {
            [one] => format!("{driver} ({one})"),
            more => format!("{driver} ({} devices)", more.len()),
        })
        .collect();
    checks.add(
        "drivers",
        Verdict::Mind,
        format!(
            "Built into the kernel: {}. They bind before vtd can be loaded; make install has it \
             unbind and bind them again (bound=2), as long as they are not in use.",
            list(&names)
        ),
    );
}
