// SPDX-License-Identifier: GPL-2.0

//! `vtd unload`: which devices keep the module vtd loaded, and the commands that unload it.

use super::{unread, Answer, Context};
use crate::bdf::Bdf;
use crate::drawing::{kind_of, Owner};
use crate::error::Result;
use crate::fail;
use crate::machine::{Device, Machine};
use crate::table::columns;
use crate::text::{clip, many, wrap};
use serde_json::json;

const PCI_BRIDGE: u32 = 0x0604;

pub fn run(context: &Context) -> Result<Answer> {
    let dump = context.dump()?;
    match dump.driver.as_str() {
        "vtd" => {}
        "none" => fail!("vtd is not loaded here."),
        _ => fail!("vtd is not loaded here: the kernel's own driver runs the units, and that is no module."),
    }
    let machine = Machine::new(&dump);
    let keeping = machine.devices.iter();
    let keeping: Vec<_> = keeping
        .filter(|(_, device)| keeps(&machine, device))
        .map(|(bdf, device)| (*bdf, device))
        .collect();
    let commands = commands(&machine, &keeping);
    let mut text = words(&machine, &keeping);
    for command in &commands {
        text += &format!("  {command}\n");
    }
    if keeping.iter().any(|(_, device)| !device.driver.is_empty()) {
        text += &wrap(
            "",
            "A device that loses its driver loses what is not written yet: unmount its disks first. \
             drivers_probe gives it a driver again, without vtd.",
        );
    }
    text += &unread(&dump);
    let devices = keeping.iter().map(|(bdf, device)| {
        json!({
            "device": bdf.to_string(),
            "driver": (!device.driver.is_empty()).then_some(&device.driver),
            "group": device.group,
            "owner": Owner::of(&machine, &device.group).words(),
        })
    });
    let json = json!({
        "devices": devices.collect::<Vec<_>>(),
        "commands": commands,
        "problems": dump.problems.borrow().clone(),
    });
    Ok(Answer {
        text,
        json,
        status: u8::from(!keeping.is_empty()),
    })
}

/// Returns whether vtd refuses a detach because of this device: it has a driver, other than a port's,
/// or its group is a user's or a module's.
fn keeps(machine: &Machine<'_>, device: &Device) -> bool {
    if device.unit.is_empty() {
        return false;
    }
    let is_port = device.driver == "pcieport" && device.class >> 8 == PCI_BRIDGE;
    let is_idle = device.driver.is_empty() || is_port;
    !is_idle || !is_port && is_claimed(machine, device)
}

fn is_claimed(machine: &Machine<'_>, device: &Device) -> bool {
    matches!(
        Owner::of(machine, &device.group),
        Owner::User | Owner::Iommufd | Owner::Driver
    )
}

fn words(machine: &Machine<'_>, keeping: &[(Bdf, &Device)]) -> String {
    if keeping.is_empty() {
        return "Nothing keeps vtd loaded. To unload it, as root:\n".to_owned();
    }
    let count = keeping.len() as u64;
    let verb = if count == 1 { "keeps" } else { "keep" };
    let mut text = format!("{} {verb} vtd loaded:\n", many(count, "device"));
    let rows: Vec<_> = keeping
        .iter()
        .map(|(bdf, device)| {
            let driver = match device.driver.as_str() {
                "" => "no driver",
                driver => driver,
            };
            let owner = Owner::of(machine, &device.group).words();
            [
                bdf.to_string(),
                driver.to_owned(),
                format!("group {} of {owner}", device.group),
                kind_of(device),
            ]
            .to_vec()
        })
        .collect();
    for line in columns(&rows, None).lines() {
        text += &clip(&format!("  {line}"));
    }
    text + "To unload it, as root:\n"
}

fn commands(machine: &Machine<'_>, keeping: &[(Bdf, &Device)]) -> Vec<String> {
    let mut found = Vec::new();
    for (bdf, device) in keeping {
        if device.driver.contains("vfio") {
            found.push(format!(
                "vtd take {bdf} --yes    # when no program uses it any more"
            ));
        } else if !device.driver.is_empty() {
            let driver = &device.driver;
            found.push(format!("echo {bdf} > /sys/bus/pci/drivers/{driver}/unbind"));
        } else if is_claimed(machine, device) {
            found.push(format!(
                "# end what has claimed group {}, of {bdf}",
                device.group
            ));
        }
    }
    found.push("echo 1 > /sys/kernel/vtd/detach".to_owned());
    found.push("rmmod vtd".to_owned());
    for (bdf, device) in keeping {
        if !device.driver.is_empty() {
            found.push(format!("echo {bdf} > /sys/bus/pci/drivers_probe"));
        }
    }
    found
}
