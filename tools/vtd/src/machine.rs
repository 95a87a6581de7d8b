// SPDX-License-Identifier: GPL-2.0

//! Units, devices, groups and domains, read from a dump of either driver.

use crate::bdf::Bdf;
use crate::config_space::ConfigSpace;
use crate::dump::{Dump, Record};
use std::collections::{BTreeMap, BTreeSet};
use vtd_core::spec::capability::{Capability, ExtendedCapability};
use vtd_core::spec::context::{ContextEntry, TranslationType};
use vtd_core::spec::level::AddressWidth;

/// One PCI function. A text is empty if it is unknown or does not apply.
#[derive(Default)]
pub struct Device {
    pub vendor: u16,
    pub id: u16,
    pub class: u32,
    pub driver: String,
    pub driver_override: String,
    pub group: String,
    /// Its root bus, such as `0000:00`.
    pub root: String,
    /// The bridges above it, topmost first.
    pub bridges: Vec<Bdf>,
    pub unit: String,
    /// DMA, unmanaged, identity, blocked, untranslated, or translated.
    pub attached: String,
    /// The number of its domain, such as `#4`.
    pub domain: String,
    pub domain_id: String,
    /// The width of its tables, if its context entry is all that the driver shows.
    pub width: Option<AddressWidth>,
    /// `None` if faults are not counted.
    pub faults: Option<u64>,
    /// Whether firmware says that it is behind an external port.
    pub untrusted: bool,
    /// The physical function of a virtual one.
    pub physical: Option<Bdf>,
    /// Its entries of the interrupt table.
    pub entries: Vec<u32>,
    config: Vec<u8>,
}

impl Device {
    /// Returns its configuration space, unless only its beginning could be read.
    pub fn config(&self) -> Option<ConfigSpace<'_>> {
        ConfigSpace::new(&self.config)
    }
}

/// Devices that cannot be isolated from each other.
#[derive(Default)]
pub struct Group {
    pub kind: String,
    /// A word of `owner` in vtd/groups; empty if unknown.
    pub owner: String,
    pub devices: Vec<Bdf>,
    /// Memory that its domain keeps: first, last, kind.
    pub reserved: Vec<(u64, u64, String)>,
}

/// One remapping unit in use.
#[derive(Default)]
pub struct Unit {
    /// The files of sysfs.
    pub facts: BTreeMap<String, String>,
    /// What the driver says of its state.
    pub state: String,
    /// Whether it remaps interrupts, and what prevents isolation; empty if unknown.
    pub interrupts: String,
    pub counts: Vec<(String, u64)>,
    pub waits: Vec<(String, u64)>,
}

impl Unit {
    fn hex(&self, name: &str) -> Option<u64> {
        u64::from_str_radix(self.facts.get(name)?, 16).ok()
    }

    pub fn cap(&self) -> Option<Capability> {
        self.hex("cap").map(Capability::from_raw)
    }

    pub fn ecap(&self) -> Option<ExtendedCapability> {
        self.hex("ecap").map(ExtendedCapability::from_raw)
    }

    /// Returns the address of its registers.
    pub fn address(&self) -> Option<u64> {
        self.hex("address")
    }
}

pub struct Machine<'a> {
    pub dump: &'a Dump,
    pub units: BTreeMap<String, Unit>,
    pub devices: BTreeMap<Bdf, Device>,
    pub groups: BTreeMap<String, Group>,
    /// The words of each domain, by its number. Only vtd shows them.
    pub domains: BTreeMap<String, Record>,
}

impl<'a> Machine<'a> {
    pub fn new(dump: &'a Dump) -> Self {
        let mut machine = Self {
            dump,
            units: BTreeMap::new(),
            devices: BTreeMap::new(),
            groups: BTreeMap::new(),
            domains: BTreeMap::new(),
        };
        machine.read_devices();
        machine.read_units();
        machine.read_groups();
        if dump.has("vtd/groups") {
            machine.read_ours();
        } else {
            machine.read_in_tree();
        }
        machine.gather();
        machine
    }

    pub fn is_ours(&self) -> bool {
        self.dump.driver == "vtd"
    }

    fn read_devices(&mut self) {
        for line in self.dump.records("pci", &["device", "class", "path"]) {
            let Some(bdf) = Bdf::parse(&line["device"]) else {
                self.dump
                    .problem(format!("{:.40} in pci is no device", line["device"]));
                continue;
            };
            let hex = |name: &str| {
                let text = line
                    .get(name)
                    .map_or("", |text| text.trim_start_matches("0x"));
                u32::from_str_radix(text, 16).unwrap_or(0)
            };
            let path: Vec<_> = line["path"].split('/').collect();
            let above = path.split_last().map_or(&[][..], |(_, above)| above);
            let device = Device {
                vendor: hex("vendor") as u16,
                id: hex("id") as u16,
                class: hex("class"),
                driver: known(&line, "driver"),
                driver_override: known(&line, "override"),
                group: known(&line, "group"),
                root: above
                    .iter()
                    .find_map(|part| root_bus(part))
                    .unwrap_or_default(),
                bridges: above.iter().filter_map(|part| Bdf::parse(part)).collect(),
                untrusted: known(&line, "untrusted") == "1"
                    || known(&line, "removable") == "removable",
                physical: Bdf::parse(&known(&line, "physfn")),
                ..Device::default()
            };
            self.devices.insert(bdf, device);
        }
        for line in self.dump.text("pci-config").lines() {
            let Some((bdf, hex)) = line.split_once(' ') else {
                continue;
            };
            if let Some(device) = Bdf::parse(bdf).and_then(|bdf| self.devices.get_mut(&bdf)) {
                device.config = bytes_of(hex);
            }
        }
    }

    fn read_units(&mut self) {
        for name in self.dump.folders("units") {
            let start = format!("units/{name}/");
            let mut unit = Unit::default();
            for (file, _) in self.dump.files() {
                if let Some(fact) = file.strip_prefix(&start) {
                    unit.facts.insert(fact.to_owned(), self.dump.word(file));
                }
            }
            let registers = self.dump.text(&format!("vtd/{name}/registers"));
            let first = registers.lines().next().unwrap_or_default();
            unit.state = first
                .split_once(", ")
                .map_or("", |(_, state)| state)
                .to_owned();
            unit.interrupts = self.read_interrupts(&name);
            if self.is_ours() {
                unit.counts = self.dump.counts(&format!("vtd/{name}/statistics"));
                unit.waits = self.dump.counts(&format!("vtd/{name}/waits"));
            }
            let devices = unit.facts.remove("devices").unwrap_or_default();
            for bdf in devices.split_whitespace().filter_map(Bdf::parse) {
                name.clone_into(&mut self.devices.entry(bdf).or_default().unit);
            }
            self.units.insert(name, unit);
        }
    }

    /// Reads the entries of a unit's interrupt table; returns what its first line says.
    fn read_interrupts(&mut self, unit: &str) -> String {
        let text = self.dump.text(&format!("vtd/{unit}/interrupts"));
        let mut lines = text.lines();
        let first = lines.next().and_then(|line| line.split_once(": "));
        for line in lines {
            let mut words = line.split_whitespace();
            let entry = words.next().and_then(|word| word.parse().ok());
            if let (Some(entry), Some(bdf)) = (entry, words.next().and_then(Bdf::parse)) {
                self.devices.entry(bdf).or_default().entries.push(entry);
            }
        }
        first.map_or("", |(_, state)| state).to_owned()
    }

    fn read_groups(&mut self) {
        for line in self.dump.records("types", &["group", "type"]) {
            let group = self.groups.entry(line["group"].clone()).or_default();
            line["type"].clone_into(&mut group.kind);
        }
        for line in self
            .dump
            .records("reserved", &["group", "first", "last", "kind"])
        {
            if let (Some(first), Some(last)) = (number(&line["first"]), number(&line["last"])) {
                let group = self.groups.entry(line["group"].clone()).or_default();
                group.reserved.push((first, last, line["kind"].clone()));
            }
        }
    }

    /// Reads what vtd shows.
    fn read_ours(&mut self) {
        for mut line in self.dump.records("vtd/domains", &["domain"]) {
            // Dumps of before had numbers without this sign.
            let name = format!("#{}", line["domain"].trim_start_matches('#'));
            line.insert("domain".to_owned(), name.clone());
            self.domains.insert(name, line);
        }
        for line in self
            .dump
            .records("vtd/groups", &["group", "owner", "device", "attached"])
        {
            let Some(bdf) = Bdf::parse(&line["device"]) else {
                continue;
            };
            let device = self.devices.entry(bdf).or_default();
            let unit = known(&line, "unit");
            if !unit.is_empty() {
                device.unit = unit;
            }
            line["attached"].clone_into(&mut device.attached);
            device.driver = known(&line, "driver");
            device.group = known(&line, "group");
            device.domain_id = known(&line, "domain-id");
            device.faults = line.get("faults").and_then(|text| text.parse().ok());
            let domain = known(&line, "domain");
            if !domain.is_empty() {
                device.domain = format!("#{}", domain.trim_start_matches('#'));
            }
            if !device.group.is_empty() {
                let group = self.groups.entry(device.group.clone()).or_default();
                line["owner"].clone_into(&mut group.owner);
            }
        }
    }

    /// Reads what the in-tree driver shows: domain-ids from context entries.
    fn read_in_tree(&mut self) {
        let entries = context_entries(&self.dump.text("intel/dmar_translation_struct"));
        let mut users = BTreeSet::new();
        for (bdf, device) in &mut self.devices {
            if device.driver.starts_with("vfio") {
                users.insert(device.group.clone());
            }
            if device.unit.is_empty() {
                continue;
            }
            match entries.get(&(device.unit.clone(), bdf.source.raw())) {
                Some(Entry::Identity) => "identity".clone_into(&mut device.attached),
                Some(Entry::Translated(id, width)) => {
                    "translated".clone_into(&mut device.attached);
                    device.domain_id = id.to_string();
                    device.width = *width;
                }
                None => {
                    // Without debugfs, the type of the group is all that is known.
                    let kind = self
                        .groups
                        .get(&device.group)
                        .map_or("", |group| &group.kind);
                    kind.clone_into(&mut device.attached);
                }
            }
        }
        for (name, group) in &mut self.groups {
            if users.contains(name) {
                "user".clone_into(&mut group.owner);
            }
        }
    }

    fn gather(&mut self) {
        for (bdf, device) in &self.devices {
            if !device.group.is_empty() {
                let group = self.groups.entry(device.group.clone()).or_default();
                group.devices.push(*bdf);
            }
        }
    }
}

/// What a context entry, or in scalable mode a PASID table entry, lets requests without PASID reach.
#[derive(Clone, Copy)]
enum Entry {
    Identity,
    /// The domain-id, and the width of second-stage tables.
    Translated(u16, Option<AddressWidth>),
}

/// Returns the present entries by unit and source-id, in the format of the in-tree driver.
fn context_entries(text: &str) -> BTreeMap<(String, u16), Entry> {
    let (mut found, mut unit) = (BTreeMap::new(), String::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("IOMMU ") {
            unit = rest.split(':').next().unwrap_or_default().to_owned();
            continue;
        }
        let words: Vec<_> = line.split_whitespace().collect();
        let (Some(bdf), Some(entry)) =
            (words.first().and_then(|bdf| Bdf::parse(bdf)), words.get(2))
        else {
            continue;
        };
        let entry = match (words.get(3), words.get(4)) {
            (None | Some(&"-1"), _) => legacy_entry(entry),
            // Requests without PASID use PASID 0.
            (Some(&"0"), Some(entry)) => pasid_entry(entry),
            _ => None,
        };
        if let Some(entry) = entry {
            found.insert((unit.clone(), bdf.source.raw()), entry);
        }
    }
    found
}

fn legacy_entry(words: &str) -> Option<Entry> {
    let (high, low) = words.split_once(':')?;
    let entry = ContextEntry::from_words(number(low)?, number(high)?);
    entry.is_present().then(|| match entry.translation_type() {
        TranslationType::PassThrough => Entry::Identity,
        _ => Entry::Translated(entry.domain().raw(), entry.width()),
    })
}

/// Reads the first three words of a PASID table entry, the highest first (VT-d 9.6).
fn pasid_entry(words: &str) -> Option<Entry> {
    let mut words = words.split(':').map_while(number);
    let (high, middle, low) = (words.next()?, words.next()?, words.next()?);
    let width = match (low >> 6) & 7 {
        // The first stage has 4 or 5 levels.
        1 => AddressWidth::from_code(2 + ((high >> 2) & 3) as u8),
        _ => AddressWidth::from_code(((low >> 2) & 7) as u8),
    };
    (low & 1 != 0).then_some(match (low >> 6) & 7 {
        4 => Entry::Identity,
        _ => Entry::Translated((middle & 0xffff) as u16, width),
    })
}

/// Returns the root bus that a part of a device's path names.
fn root_bus(part: &str) -> Option<String> {
    let name = part.strip_prefix("pci")?;
    name.contains(':').then(|| name.to_owned())
}

/// Returns a word of a line, or an empty text for a dash or none.
fn known(line: &Record, name: &str) -> String {
    match line.get(name).map(String::as_str) {
        None | Some("-") => String::new(),
        Some(text) => text.to_owned(),
    }
}

/// Reads a hexadecimal number with 0x.
pub fn number(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let pair = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(text, 16).ok()
    };
    hex.as_bytes().chunks_exact(2).map_while(pair).collect()
}
