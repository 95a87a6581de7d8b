// SPDX-License-Identifier: GPL-2.0

//! Makes a dump of a system: what its kernel shows of units, devices, groups and domains.
//!
//! It only reads, and works with either driver and with none. Of page tables it takes the counts
//! alone; [`maps`](crate::commands::maps) reads them where they are.

use crate::dump::Dump;
use crate::error::Result;
use crate::root::Root;
use std::collections::BTreeMap;
use std::fmt::Write;

pub const PCI: &str = "sys/bus/pci/devices";
pub const DEBUG: &str = "sys/kernel/debug";
const INTEL_FILES: [&str; 5] = [
    "iommu_regset",
    "dmar_translation_struct",
    "invalidation_queue",
    "ir_translation_struct",
    "dmar_perf_latency",
];
/// The parameters of other modules that decide who may have a device.
const CONSENT: [&str; 3] = [
    "vfio_iommu_type1/parameters/allow_unsafe_interrupts",
    "iommufd/parameters/allow_unsafe_interrupts",
    "vfio/parameters/enable_unsafe_noiommu_mode",
];

type Files = BTreeMap<String, Vec<u8>>;

/// Returns a dump of the whole system.
pub fn collect(root: &Root) -> Result<Dump> {
    let mut files = Files::new();
    about(root, &mut files);
    units(root, &mut files);
    devices(root, &mut files);
    groups(root, &mut files);
    debugfs(root, &mut files);
    machine(root, &mut files);
    let denied = root.denied();
    let dump = Dump::new(files)?;
    if !denied.is_empty() {
        dump.problem(format!(
            "{} may be read by root alone, so that part is missing: run vtd as root",
            some(&denied)
        ));
    } else if dump.driver != "none" && root.exists(DEBUG) && root.names(DEBUG).is_empty() {
        dump.problem(format!(
            "debugfs is not mounted, so counters, domains and tables are missing: mount -t debugfs \
             debugfs /{DEBUG}"
        ));
    }
    Ok(dump)
}

/// Returns the first of some names, and how many more there are.
fn some(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => format!("/{one}"),
        [one, rest @ ..] => format!("/{one} and {} more", rest.len()),
    }
}

fn put(files: &mut Files, name: impl Into<String>, text: impl Into<Vec<u8>>) {
    files.insert(name.into(), text.into());
}

fn copy(root: &Root, from: &str, files: &mut Files, to: String) {
    if let Some(bytes) = root.bytes(from) {
        files.insert(to, bytes);
    }
}

fn about(root: &Root, files: &mut Files) {
    let in_use = root
        .names("sys/class/iommu")
        .iter()
        .any(|unit| root.exists(&format!("sys/class/iommu/{unit}/intel-iommu")));
    let driver = match (root.exists("sys/kernel/vtd"), in_use) {
        (true, _) => "vtd",
        (false, true) => "in-tree",
        (false, false) => "none",
    };
    let kernel = root.release();
    put(
        files,
        "about",
        format!("format 1\nkernel {kernel}\ndriver {driver}\n"),
    );
}

fn units(root: &Root, files: &mut Files) {
    for unit in root.names("sys/class/iommu") {
        let from = format!("sys/class/iommu/{unit}");
        let facts = format!("{from}/intel-iommu");
        if !root.exists(&facts) {
            continue;
        }
        for file in root.names(&facts) {
            copy(
                root,
                &format!("{facts}/{file}"),
                files,
                format!("units/{unit}/{file}"),
            );
        }
        let devices = root.names(&format!("{from}/devices"));
        put(
            files,
            format!("units/{unit}/devices"),
            devices.join("\n") + "\n",
        );
    }
}

fn devices(root: &Root, files: &mut Files) {
    let (mut list, mut configs) = (String::new(), String::new());
    for bdf in root.names(PCI) {
        let at = format!("{PCI}/{bdf}");
        let path = std::fs::read_link(root.path(&at)).unwrap_or_default();
        let path = path.to_string_lossy().replace("../", "");
        let link = |name: &str| root.link(&format!("{at}/{name}")).unwrap_or("-".to_owned());
        let word = |name: &str| {
            let word = root.word(&format!("{at}/{name}"));
            let word = word.split_whitespace().next().unwrap_or("-").to_owned();
            if word == "(null)" {
                "-".to_owned()
            } else {
                word
            }
        };
        let _ = writeln!(
            list,
            "device={bdf} vendor={} id={} class={} driver={} group={} override={} removable={} \
             untrusted={} physfn={} path=/sys/{path}",
            word("vendor"),
            word("device"),
            word("class"),
            link("driver"),
            link("iommu_group"),
            word("driver_override"),
            word("removable"),
            word("untrusted"),
            link("physfn"),
        );
        let config = root.bytes(&format!("{at}/config")).unwrap_or_default();
        if config.len() >= 64 {
            let _ = write!(configs, "{bdf} ");
            for byte in config.iter().take(4096) {
                let _ = write!(configs, "{byte:02x}");
            }
            configs.push('\n');
        }
    }
    put(files, "pci", list);
    put(files, "pci-config", configs);
}

fn groups(root: &Root, files: &mut Files) {
    let (mut types, mut regions) = (String::new(), String::new());
    let folder = "sys/kernel/iommu_groups";
    for group in root.names(folder) {
        let kind = root.word(&format!("{folder}/{group}/type"));
        if !kind.is_empty() {
            let _ = writeln!(types, "group={group} type={kind}");
        }
        let text = root.text(&format!("{folder}/{group}/reserved_regions"));
        for line in text.unwrap_or_default().lines() {
            let mut words = line.split_whitespace();
            if let (Some(first), Some(last), Some(kind)) =
                (words.next(), words.next(), words.next())
            {
                let _ = writeln!(
                    regions,
                    "group={group} first={first} last={last} kind={kind}"
                );
            }
        }
    }
    put(files, "types", types);
    put(files, "reserved", regions);
}

fn debugfs(root: &Root, files: &mut Files) {
    copy(root, "sys/kernel/vtd/users", files, "users".to_owned());
    let ours = format!("{DEBUG}/vtd");
    for name in root.names(&ours) {
        // vtd/walk has the answer to the last request, from any program.
        if name == "walk" {
            continue;
        }
        copy(
            root,
            &format!("{ours}/{name}"),
            files,
            format!("vtd/{name}"),
        );
        for file in root.names(&format!("{ours}/{name}")) {
            copy(
                root,
                &format!("{ours}/{name}/{file}"),
                files,
                format!("vtd/{name}/{file}"),
            );
        }
    }
    for file in INTEL_FILES {
        let from = format!("{DEBUG}/iommu/intel/{file}");
        copy(root, &from, files, format!("intel/{file}"));
    }
}

/// Takes what decides whether the machine can run vtd, and who may have a device.
fn machine(root: &Root, files: &mut Files) {
    copy(
        root,
        "sys/firmware/acpi/tables/DMAR",
        files,
        "acpi/DMAR".to_owned(),
    );
    copy(root, "proc/cmdline", files, "cmdline".to_owned());
    copy(root, "etc/os-release", files, "os-release".to_owned());
    copy(
        root,
        "sys/kernel/security/lockdown",
        files,
        "lockdown".to_owned(),
    );
    for file in CONSENT {
        let text = root.word(&format!("sys/module/{file}"));
        if !text.is_empty() {
            put(files, format!("module/{file}"), text + "\n");
        }
    }
    put(
        files,
        "interrupts",
        chips(&root.text("proc/interrupts").unwrap_or_default()),
    );
    put(files, "drivers", drivers(root));
    put(
        files,
        "cpus",
        cpus(&root.text("proc/cpuinfo").unwrap_or_default()),
    );
    let efi = root.names("sys/firmware/efi/efivars");
    if let Some(name) = efi.iter().find(|name| name.starts_with("SecureBoot-")) {
        let value = root.bytes(&format!("sys/firmware/efi/efivars/{name}"));
        let is_on = value.is_some_and(|value| value.get(4) == Some(&1));
        put(files, "secure-boot", if is_on { "on\n" } else { "off\n" });
    }
    crate::kernel_build::collect(root, |name, text| put(files, name, text));
}

/// Returns the names of the interrupt chips in use, once each. Those of remapped interrupts begin
/// with IR-.
fn chips(interrupts: &str) -> String {
    let mut found: Vec<_> = interrupts
        .lines()
        .flat_map(str::split_whitespace)
        .filter(|word| word.contains("MSI") || word.contains("IO-APIC"))
        .map(|word| word.split("-0").next().unwrap_or(word))
        .collect();
    found.sort_unstable();
    found.dedup();
    found.join("\n") + "\n"
}

/// Returns a line for each PCI driver that has a device: whether a module has it.
fn drivers(root: &Root) -> String {
    let folder = "sys/bus/pci/drivers";
    let mut text = String::new();
    for driver in root.names(folder) {
        let module = root.link(&format!("{folder}/{driver}/module"));
        // A driver that is built in may have a module folder too, without a state.
        let is_module = module
            .as_ref()
            .is_some_and(|name| root.exists(&format!("sys/module/{name}/initstate")));
        let kind = if is_module { "yes" } else { "no" };
        let _ = writeln!(text, "driver={driver} module={kind}");
    }
    text
}

fn cpus(cpuinfo: &str) -> String {
    let count = cpuinfo
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"));
    let x2apic = flags.is_some_and(|line| line.split_whitespace().any(|flag| flag == "x2apic"));
    let x2apic = if x2apic { "yes" } else { "no" };
    format!("cpus={count} x2apic={x2apic}\n")
}
