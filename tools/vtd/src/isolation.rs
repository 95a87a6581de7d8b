// SPDX-License-Identifier: GPL-2.0

//! Why devices are in one group, and what keeps a device from being given to a user.

use crate::bdf::Bdf;
use crate::config_space::{Acs, Port};
use crate::machine::{Device, Machine};
use vtd_core::dmar::Dmar;
use vtd_core::interrupt_policy::CompatibilityUser;

/// Something that joins devices into one group.
pub struct Joint {
    /// The ports, bridges or first functions.
    pub at: Vec<Bdf>,
    /// What each of them is and lacks.
    pub why: String,
}

/// Returns what joins the devices of a group, as their configuration spaces show it: places past
/// which a request can reach another device of the group without passing the unit.
///
/// The rules are those of the kernel's pci_device_group(). Its quirks, by which it knows of some
/// devices that they isolate without ACS, can make groups smaller than these rules do.
pub fn joints(machine: &Machine<'_>, group: &str) -> Vec<Joint> {
    let Some(group) = machine.groups.get(group) else {
        return Vec::new();
    };
    let members = &group.devices;
    let mut found: Vec<Joint> = Vec::new();
    for bdf in members {
        let Some(device) = machine.devices.get(bdf) else {
            continue;
        };
        let is_above = |other: &Bdf| {
            let other = machine.devices.get(other);
            other.is_some_and(|other| other.bridges.contains(bdf))
        };
        let why = if members.iter().any(is_above) {
            port_weakness(device)
        } else {
            let siblings: Vec<_> = members.iter().filter(|it| it.same_slot(*bdf)).collect();
            let is_first = siblings.first() == Some(&bdf) && siblings.len() > 1;
            is_first.then(|| function_weakness(device)).flatten()
        };
        let Some(why) = why else {
            continue;
        };
        match found.iter_mut().find(|joint| joint.why == why) {
            Some(joint) => joint.at.push(*bdf),
            None => found.push(Joint {
                at: vec![*bdf],
                why,
            }),
        }
    }
    found
}

/// Returns why a port or bridge does not isolate what is below it.
fn port_weakness(device: &Device) -> Option<String> {
    let config = device.config()?;
    let name = match config.port() {
        Port::Root => "root port",
        Port::Downstream => "switch's downstream port",
        Port::Upstream if config.is_multifunction() => "switch's upstream port",
        Port::Endpoint | Port::Integrated if config.is_multifunction() => "function",
        Port::Upstream | Port::Endpoint | Port::Integrated => return None,
        Port::ToPci => {
            return Some(
                "bridge to conventional PCI: all below it share one bus and one requester ID"
                    .to_owned(),
            )
        }
        Port::ToExpress | Port::Conventional | Port::EventCollector => {
            return Some("conventional PCI bridge: all below it share one bus".to_owned())
        }
    };
    lack(config.acs()).map(|lack| format!("{name} {lack}"))
}

/// Returns why the functions of a device are not isolated from each other.
fn function_weakness(device: &Device) -> Option<String> {
    let lack = lack(device.config()?.acs())?;
    Some(format!("device with several functions {lack}"))
}

fn lack(acs: Acs) -> Option<String> {
    match acs {
        Acs::On => None,
        Acs::None => Some("without access control (ACS)".to_owned()),
        Acs::Off(parts) => Some(format!(
            "whose access control (ACS) has {} off",
            crate::text::list(&parts.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>())
        )),
    }
}

/// Returns what vtd says about the unit of `device`: whether it isolates the interrupts of its
/// devices, and why not. `None` if vtd says nothing.
fn isolation_by_vtd(machine: &Machine<'_>, device: &Device) -> Option<Result<String, String>> {
    let text = machine
        .dump
        .text(&format!("vtd/{}/interrupts", device.unit));
    let (_, words) = text.lines().next()?.split_once(": ")?;
    Some(match words.split_once("remapped, devices isolated") {
        Some(("", _)) => Ok(format!("interrupts are remapped by {}", device.unit)),
        _ => Err(words.split(';').next().unwrap_or(words).to_owned()),
    })
}

/// Returns the interrupt remapping entries of a device that vtd shows.
pub fn interrupt_entries(machine: &Machine<'_>, bdf: Bdf, device: &Device) -> Vec<u64> {
    let text = machine
        .dump
        .text(&format!("vtd/{}/interrupts", device.unit));
    let owner = bdf.to_string();
    let entries = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let index = words.next()?.parse().ok()?;
        (words.next()? == owner).then_some(index)
    });
    entries.collect()
}

/// Whether devices can raise only the interrupts that they were given, and why not. Of several units
/// only some may isolate their devices.
pub fn interrupts(machine: &Machine<'_>, device: &Device) -> Result<String, String> {
    if let Some(known) = isolation_by_vtd(machine, device) {
        return known;
    }
    let chips = machine.dump.text("interrupts");
    if chips.lines().any(|chip| chip.starts_with("IR-")) {
        return Ok("interrupts are remapped".to_owned());
    }
    let dmar = crate::firmware::table(machine).and_then(Result::ok);
    let unit = machine.units.get(&device.unit);
    if unit
        .and_then(|unit| unit.ecap())
        .is_some_and(|ecap| !ecap.interrupt_remapping())
    {
        return Err("its unit has no interrupt remapping".to_owned());
    }
    if dmar
        .as_ref()
        .is_some_and(|dmar: &Dmar<'_>| !dmar.interrupt_remapping())
    {
        return Err("firmware says that the machine has no interrupt remapping".to_owned());
    }
    let cmdline = machine.dump.text("cmdline");
    if cmdline
        .split_whitespace()
        .any(|word| matches!(word, "intremap=off" | "nointremap"))
    {
        let needs = if machine.is_ours() {
            ", which vtd needs"
        } else {
            ""
        };
        return Err(format!("the kernel was booted with intremap=off{needs}"));
    }
    if chips.trim().is_empty() {
        return Err("/proc/interrupts shows no message-signalled interrupts".to_owned());
    }
    Err("no interrupt in /proc/interrupts is remapped".to_owned())
}

/// Returns what isolates interrupts that are not isolated for the reason `why`; empty if nothing does.
fn isolating(machine: &Machine<'_>, why: &str) -> &'static str {
    let users = [
        CompatibilityUser::IoApic(0),
        CompatibilityUser::Hpet(0),
        CompatibilityUser::AdoptedDevice,
    ];
    // Without the number of one.
    let is_named =
        |user: &&CompatibilityUser| why.contains(user.to_string().trim_end_matches(" 0"));
    match users.iter().find(is_named) {
        Some(user) => user.remedy(),
        None if why.contains("intremap=off") && !machine.is_ours() => {
            "boot without intremap=off to isolate them"
        }
        None => "",
    }
}

/// Returns whether VFIO's container or iommufd is set to accept devices whose interrupts are not
/// isolated; `None` if neither is loaded.
pub fn consent(machine: &Machine<'_>) -> Option<bool> {
    let words = ["vfio_iommu_type1", "iommufd"].map(|module| {
        let name = format!("module/{module}/parameters/allow_unsafe_interrupts");
        machine.dump.word(&name)
    });
    if words.iter().all(String::is_empty) {
        return None;
    }
    Some(words.iter().any(|word| word == "Y"))
}

/// Drivers that leave a device's group to its user, because they do no DMA.
fn leaves_dma_to_users(driver: &str) -> bool {
    driver.contains("vfio") || matches!(driver, "pci-stub" | "pcieport" | "xen-pciback")
}

/// Something that keeps a device from a user, and what to do about it.
pub struct Obstacle {
    pub why: String,
    pub remedy: String,
}

/// Returns everything that keeps a device from being given to a user, by what the kernel checks.
pub fn obstacles(machine: &Machine<'_>, bdf: Bdf, device: &Device) -> Vec<Obstacle> {
    let mut found = Vec::new();
    let mut add = |why: String, remedy: String| found.push(Obstacle { why, remedy });
    if device.group.is_empty() {
        add(
            "it is behind no remapping unit, so nothing limits what it reaches".to_owned(),
            "none for this device, as long as no driver runs its unit".to_owned(),
        );
    }
    if device.class >> 8 == 0x0604 {
        add(
            "it is a bridge, and those belong to the kernel".to_owned(),
            "give the devices below it instead".to_owned(),
        );
    }
    if let Some(group) = machine.groups.get(&device.group) {
        for other in group.devices.iter().filter(|other| **other != bdf) {
            let driver = machine.devices.get(other).map_or("", |other| &other.driver);
            if !driver.is_empty() && !leaves_dma_to_users(driver) {
                add(
                    format!("{other} of the same group is driven by {driver}"),
                    format!(
                        "unbind it (echo {other} > /sys/bus/pci/drivers/{driver}/unbind), or give \
                         it to the same user"
                    ),
                );
            }
        }
        for (first, last, kind) in &group.reserved {
            if kind == "direct" {
                add(
                    format!(
                        "firmware reserves {first:#x} to {last:#x} for its group at all times \
                         (RMRR), and the kernel gives such devices to no user"
                    ),
                    format!(
                        "ask for a firmware setting or an update that drops the reservation; or, if \
                         you know that firmware can do without it, load vtd with rmrr=relax:{bdf}, \
                         and name there each device of the group that has such memory"
                    ),
                );
            }
        }
    }
    if !device.group.is_empty() && consent(machine) != Some(true) {
        if let Err(why) = interrupts(machine, device) {
            let isolating = isolating(machine, &why);
            let or = if isolating.is_empty() { "" } else { "; or, " };
            add(
                format!("its interrupts are not isolated ({why})"),
                format!(
                    "{isolating}{or}only for users whom you would trust with the machine: modprobe \
                     vfio_iommu_type1 allow_unsafe_interrupts=1"
                ),
            );
        }
    }
    found
}
