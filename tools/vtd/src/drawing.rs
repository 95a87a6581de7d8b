// SPDX-License-Identifier: GPL-2.0

//! What the tree and the picture of a machine have in common: owners of groups, domains, and the
//! words for both.

use crate::bdf::Bdf;
use crate::machine::{Device, Machine, Unit};
use crate::names::kind;
use crate::text::{cut, grouped, many, size};
use std::collections::BTreeMap;
use vtd_core::spec::level::{AddressWidth, PageSize};

/// Who owns a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    Kernel,
    Driver,
    User,
    /// A user, through iommufd.
    Iommufd,
    NoOne,
    Unknown,
}

impl Owner {
    pub fn of(machine: &Machine<'_>, group: &str) -> Self {
        let Some(found) = machine.groups.get(group) else {
            return Self::Unknown;
        };
        let has_unit = |bdf: &Bdf| !machine.devices[bdf].unit.is_empty();
        match found.owner.as_str() {
            "kernel" => Self::Kernel,
            "driver" => Self::Driver,
            "user" => Self::User,
            "iommufd" => Self::Iommufd,
            "nobody" => Self::NoOne,
            // The kernel's own driver shows no owners.
            "" if !machine.is_ours() && found.devices.iter().any(has_unit) => Self::Kernel,
            _ => Self::Unknown,
        }
    }

    pub fn words(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Driver => "a driver's own",
            Self::User => "user",
            Self::Iommufd => "user (iommufd)",
            Self::NoOne => "nobody",
            Self::Unknown => "unknown",
        }
    }
}

/// What a device can be attached to, including identity and blocked.
#[derive(Default)]
pub struct Domain {
    /// `domain #5`, the driver's number; `domain-id 5`, a unit's; or `identity`.
    pub name: String,
    /// DMA or unmanaged; empty if the name says it, or if it is unknown.
    pub kind: String,
    /// Its domain-id on each unit: `dmar0:5`.
    pub ids: String,
    pub width: String,
    /// How its unmaps are flushed, if it is one of the DMA API.
    pub flushing: &'static str,
    pub mapped: Option<u64>,
    pub tables: Option<u64>,
    pub maps: Option<u64>,
    pub large: u64,
    pub is_used: bool,
}

impl Domain {
    fn ours(name: &str, words: &BTreeMap<String, String>) -> Self {
        let count = |name: &str| words.get(name).and_then(|text| text.parse::<u64>().ok());
        let mapped = count("mapped-bytes").zip(count("unmapped-bytes"));
        let units = words.get("units").map_or("", String::as_str);
        let ids: Vec<_> = units
            .split(',')
            .filter(|unit| unit.matches(':').count() == 2)
            .filter_map(|unit| Some(unit.rsplit_once(':')?.0))
            .collect();
        Self {
            name: format!("domain {name}"),
            ids: ids.join(", "),
            width: words.get("width").cloned().unwrap_or_default(),
            mapped: mapped.map(|(all, gone)| all.saturating_sub(gone)),
            tables: count("tables"),
            maps: count("maps"),
            large: count("leaves-2m")
                .unwrap_or(0)
                .saturating_add(count("leaves-1g").unwrap_or(0)),
            ..Self::default()
        }
    }

    /// Returns its type: `DMA, strict`; `unmanaged`.
    pub fn kind(&self) -> String {
        match self.kind.as_str() {
            "DMA" => format!("DMA, {}", self.flushing),
            kind => kind.to_owned(),
        }
    }

    /// Returns what it has mapped; empty if that is unknown.
    pub fn pages(&self) -> String {
        let mapped = match self.mapped {
            None => return String::new(),
            Some(0) => "nothing mapped".to_owned(),
            Some(bytes) => format!("{} mapped", size(bytes)),
        };
        let tables = self.tables.map(|count| many(count, "table"));
        joined([Some(mapped), tables])
    }

    /// Returns how often it was used, and its large pages.
    pub fn work(&self) -> String {
        let large = (self.large > 0).then(|| many(self.large, "large page"));
        joined([self.maps.map(|count| many(count, "map")), large])
    }
}

/// Joins the words that are there.
pub fn joined(words: impl IntoIterator<Item = Option<String>>) -> String {
    let words: Vec<_> = words
        .into_iter()
        .flatten()
        .filter(|words| !words.is_empty())
        .collect();
    words.join(", ")
}

/// Returns the key of a device's domain; empty if it is in none, or if that is unknown.
pub fn domain_of(device: &Device) -> String {
    match device.attached.as_str() {
        _ if !device.domain.is_empty() => device.domain.clone(),
        "translated" => format!("{}:{}", device.unit, device.domain_id),
        special @ ("identity" | "blocked" | "untranslated") => special.to_owned(),
        _ => String::new(),
    }
}

/// Returns how unmaps of a device's DMA domain are flushed. vtd calls a domain lazy from the first
/// flush that is deferred on, whatever the type of the group.
pub fn flushing(machine: &Machine<'_>, device: &Device) -> &'static str {
    let words = machine.domains.get(&device.domain);
    let group = machine.groups.get(&device.group);
    if words.is_some_and(|words| words.get("lazy").is_some_and(|lazy| lazy == "yes")) {
        "lazy"
    } else if group.is_some_and(|group| group.kind == "DMA-FQ") {
        "lazy, nothing deferred yet"
    } else {
        "strict"
    }
}

/// Returns all domains by key, those without devices too.
pub fn domains(machine: &Machine<'_>) -> BTreeMap<String, Domain> {
    let mut found: BTreeMap<_, _> = machine
        .domains
        .iter()
        .map(|(name, words)| (name.clone(), Domain::ours(name, words)))
        .collect();
    for device in machine.devices.values() {
        let key = domain_of(device);
        if key.is_empty() {
            continue;
        }
        let domain = found
            .entry(key.clone())
            .or_insert_with(|| match device.attached.as_str() {
                "translated" => Domain {
                    name: format!("domain-id {}", device.domain_id),
                    ids: key.clone(),
                    width: device
                        .width
                        .map_or(String::new(), |width| width.bits().to_string()),
                    ..Domain::default()
                },
                _ if !device.domain.is_empty() => Domain {
                    name: format!("domain {key}"),
                    ..Domain::default()
                },
                _ => Domain {
                    name: key.clone(),
                    ..Domain::default()
                },
            });
        domain.is_used = true;
        if matches!(device.attached.as_str(), "DMA" | "unmanaged") {
            device.attached.clone_into(&mut domain.kind);
            domain.flushing = flushing(machine, device);
        }
    }
    found
}

/// Returns a device's kind in few words.
pub fn kind_of(device: &Device) -> String {
    match kind(device.class) {
        Some(kind) => kind.to_owned(),
        None => format!("{:04x}:{:04x}", device.vendor, device.id),
    }
}

/// Returns how many faults a device caused, if they are counted.
pub fn faults_of(device: &Device) -> String {
    match device.faults {
        None => "faults unknown".to_owned(),
        Some(0) => "no fault".to_owned(),
        Some(count) => many(count, "fault"),
    }
}

/// Returns which interrupt entries a device has: `interrupts 1-3, 7`.
pub fn entries_of(device: &Device) -> String {
    let mut entries = device.entries.clone();
    entries.sort_unstable();
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for entry in entries {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(entry) => *last = entry,
            _ => ranges.push((entry, entry)),
        }
    }
    let words = joined(ranges.iter().map(|(first, last)| {
        Some(if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        })
    }));
    if words.is_empty() {
        words
    } else {
        format!("interrupts {words}")
    }
}

/// Sorts devices in the order of the tree: each below its bridge.
pub fn place(bdf: Bdf, device: &Device) -> (String, Vec<Bdf>) {
    let above = device.bridges.iter().copied();
    (device.root.clone(), above.chain([bdf]).collect())
}

impl Unit {
    /// Returns a fact as the kernel shows it.
    pub fn fact(&self, name: &str) -> String {
        cut(self.facts.get(name).map_or("?", String::as_str), 32)
    }

    /// Returns `VT-d 1:0 at fed90000`.
    pub fn title(&self) -> String {
        format!("VT-d {} at {}", self.fact("version"), self.fact("address"))
    }

    /// Returns a fact that is a number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.facts.get(name)?.parse().ok()
    }

    pub fn count(&self, name: &str) -> u64 {
        let found = self.counts.iter().find(|(other, _)| other == name);
        found.map_or(0, |(_, count)| *count)
    }

    /// Returns the widths of its tables: `39 bits (3 levels), 48 bits (4 levels)`.
    pub fn tables(&self) -> String {
        let cap = self.cap();
        let mut widths: Vec<_> = AddressWidth::WIDEST_FIRST
            .into_iter()
            .filter(|width| cap.is_some_and(|cap| cap.supports(*width)))
            .map(|width| format!("{} bits ({} levels)", width.bits(), width.levels()))
            .collect();
        widths.reverse();
        match widths.as_slice() {
            [] => "none".to_owned(),
            widths => widths.join(", "),
        }
    }

    /// Returns the sizes of its pages: `4 KiB, 2 MiB, 1 GiB`.
    pub fn page_sizes(&self) -> String {
        let sizes = [PageSize::Size4K, PageSize::Size2M, PageSize::Size1G];
        let has = |size: &PageSize| self.cap().is_some_and(|cap| cap.has_page_size(*size));
        joined(
            sizes
                .iter()
                .filter(|size| has(size))
                .map(|size| Some(crate::text::size(size.bytes()))),
        )
    }

    /// Returns `8 of 65,536 domain-ids`.
    pub fn domain_ids(&self) -> String {
        let number = |name: &str| self.number(name).map_or("?".to_owned(), grouped);
        format!(
            "{} of {} domain-ids",
            number("domains_used"),
            number("domains_supported")
        )
    }
}
