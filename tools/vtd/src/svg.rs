// SPDX-License-Identifier: GPL-2.0

//! A machine as a picture: SVG that needs no external font and no script.
//!
//! Four columns: units, buses and bridges, groups with their devices, domains. Groups are laid out
//! from the top in the order of the tree; the boxes of the other columns are placed at the middle of
//! what they lead to. The owner of a group shows in its colour, in the form of its frame and in
//! words.

mod shapes;

use crate::bdf::Bdf;
use crate::commands::tree::{title, unit_faults};
use crate::drawing::{domain_of, entries_of, faults_of, kind_of, place, Domain, Owner};
use crate::machine::{Device, Machine, Unit};
use crate::text::{cut, many};
use shapes::{edge, rect, text, text_end, Look};
use std::collections::BTreeMap;

const MARGIN: f64 = 24.0;
const TOP: f64 = 96.0;
const GAP: f64 = 14.0;
const UNIT: (f64, f64) = (MARGIN, 206.0);
const BUS: (f64, f64) = (272.0, 148.0);
const GROUP: (f64, f64) = (470.0, 330.0);
const DOMAIN: (f64, f64) = (876.0, 220.0);
const WIDTH: f64 = DOMAIN.0 + DOMAIN.1 + MARGIN;
const HEAD: f64 = 28.0;
const DEVICE_HEIGHT: f64 = 40.0;
const DOMAIN_HEIGHT: f64 = 70.0;
const BUS_HEIGHT: f64 = 40.0;
const UNIT_HEIGHT: f64 = 150.0;
/// The space between a device's box and its group's frame.
const INSET: f64 = 8.0;

/// What a box of the second column is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Bus {
    /// A root bus of a unit.
    Root(String, String),
    Bridge(Bdf),
}

/// Returns the whole picture.
pub fn draw(machine: &Machine<'_>, domains: &BTreeMap<String, Domain>) -> String {
    let mut picture = Picture {
        machine,
        domains,
        edges: Vec::new(),
        parts: Vec::new(),
        device_y: BTreeMap::new(),
        bus_y: BTreeMap::new(),
        bottom: TOP,
    };
    picture.draw_groups();
    picture.draw_buses();
    picture.draw_units();
    picture.draw_domains();
    let height = picture.bottom + 64.0;
    let title = format!("Who may reach what: {}", title(machine));
    let mut lines = shapes::head(WIDTH, height, &title);
    lines.push(text(MARGIN, 42.0, &cut(&title, 90), "h"));
    for ((x, _), words) in [
        (UNIT, "REMAPPING UNITS"),
        (BUS, "BUSES AND BRIDGES"),
        (GROUP, "GROUPS AND DEVICES"),
        (DOMAIN, "DOMAINS"),
    ] {
        lines.push(text(x, 78.0, words, "c"));
    }
    lines.append(&mut picture.edges);
    lines.append(&mut picture.parts);
    let owners = machine.groups.keys().map(|group| Owner::of(machine, group));
    lines.append(&mut shapes::legend(owners, (MARGIN, height - 22.0)));
    lines.push("</svg>\n".to_owned());
    lines.join("\n")
}

struct Picture<'a> {
    machine: &'a Machine<'a>,
    domains: &'a BTreeMap<String, Domain>,
    edges: Vec<String>,
    parts: Vec<String>,
    /// The middle of each device's and each bus's box.
    device_y: BTreeMap<Bdf, f64>,
    bus_y: BTreeMap<Bus, f64>,
    bottom: f64,
}

/// Returns the mean; the top for no value.
fn middle(values: &[f64]) -> f64 {
    if values.is_empty() {
        TOP
    } else {
        values.iter().sum::<f64>() / values.len() as f64
    }
}

impl<'a> Picture<'a> {
    /// Returns the tops of boxes of one height, near the wanted middles and without overlap.
    fn spread(&mut self, wanted: &[f64], height: f64) -> Vec<f64> {
        let mut last = TOP;
        let mut placed = Vec::new();
        for middle in wanted {
            last = last.max(middle - height / 2.0);
            placed.push(last);
            last += height + GAP;
        }
        if !placed.is_empty() {
            self.bottom = self.bottom.max(last - GAP);
        }
        placed
    }

    /// Returns keys with the middle of the devices of each, in the order of these middles.
    fn ordered<K: Ord + Clone>(&self, ends: &BTreeMap<K, Vec<Bdf>>) -> (Vec<K>, Vec<f64>) {
        let mut found: Vec<_> = ends
            .iter()
            .map(|(key, devices)| {
                let ys: Vec<_> = devices.iter().map(|bdf| self.device_y[bdf]).collect();
                (middle(&ys), key.clone())
            })
            .collect();
        found.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        found.into_iter().map(|(y, key)| (key, y)).unzip()
    }

    /// Returns the devices that are drawn: those of a group and a unit, in the order of the tree.
    fn drawn(&self) -> Vec<(Bdf, &'a Device)> {
        let machine = self.machine;
        let mut found: Vec<_> = machine
            .devices
            .iter()
            .filter(|(_, device)| !device.unit.is_empty() && !device.group.is_empty())
            .map(|(bdf, device)| (*bdf, device))
            .collect();
        found.sort_by_key(|(bdf, device)| place(*bdf, device));
        found
    }

    fn draw_groups(&mut self) {
        let mut order: Vec<(&str, Vec<(Bdf, &Device)>)> = Vec::new();
        let mut at: BTreeMap<&str, usize> = BTreeMap::new();
        for (bdf, device) in self.drawn() {
            let place = *at.entry(device.group.as_str()).or_insert_with(|| {
                order.push((&device.group, Vec::new()));
                order.len() - 1
            });
            order[place].1.push((bdf, device));
        }
        let mut y = TOP;
        for (group, members) in order {
            let height = HEAD + DEVICE_HEIGHT * members.len() as f64 + 2.0;
            let owner = Owner::of(self.machine, group);
            let look = Look::of(owner);
            self.parts
                .push(rect((GROUP.0, y), (GROUP.1, height), &look.attributes(), 9));
            self.parts.push(text(
                GROUP.0 + 12.0,
                y + 18.0,
                &format!("group {group}"),
                "t",
            ));
            let right = GROUP.0 + GROUP.1 - 12.0;
            self.parts.push(look.words(right, y + 18.0, owner.words()));
            for (number, (bdf, device)) in members.into_iter().enumerate() {
                self.draw_device(bdf, device, y + HEAD + DEVICE_HEIGHT * number as f64);
            }
            y += height + GAP;
        }
        self.bottom = self.bottom.max(y - GAP);
    }

    fn draw_device(&mut self, bdf: Bdf, device: &Device, y: f64) {
        let height = DEVICE_HEIGHT - 6.0;
        self.device_y.insert(bdf, y + height / 2.0);
        let (x, right) = (GROUP.0 + 18.0, GROUP.0 + GROUP.1 - 18.0);
        let width = GROUP.1 - 2.0 * INSET;
        self.parts.push(rect(
            (GROUP.0 + INSET, y),
            (width, height),
            "class=\"b\"",
            6,
        ));
        self.parts.push(text(x, y + 15.0, &bdf.to_string(), "m"));
        self.parts
            .push(text(x, y + 28.0, &cut(&kind_of(device), 24), "s"));
        let (driver, style) = match device.driver.as_str() {
            "" => ("no driver", "s"),
            driver => (driver, ""),
        };
        self.parts
            .push(text_end(right, y + 15.0, &cut(driver, 20), style));
        let (words, style) = match device.faults {
            Some(0) => (cut(&entries_of(device), 24), "s"),
            Some(_) => (faults_of(device), "f"),
            None => (faults_of(device), "s"),
        };
        if !words.is_empty() {
            self.parts.push(text_end(right, y + 28.0, &words, style));
        }
    }

    /// Returns the bus that a function is on.
    fn bus_of(device: &Device) -> Bus {
        match device.bridges.last() {
            Some(bridge) => Bus::Bridge(*bridge),
            None => Bus::Root(device.unit.clone(), device.root.clone()),
        }
    }

    /// Draws a box for each root bus and each bridge with something behind it.
    fn draw_buses(&mut self) {
        let mut below: BTreeMap<Bus, Vec<Bdf>> = BTreeMap::new();
        for (bdf, device) in self.drawn() {
            below.entry(Self::bus_of(device)).or_default().push(bdf);
        }
        let (buses, wanted) = self.ordered(&below);
        let tops = self.spread(&wanted, BUS_HEIGHT);
        for (bus, y) in buses.iter().zip(tops) {
            let centre = y + BUS_HEIGHT / 2.0;
            self.bus_y.insert(bus.clone(), centre);
            let (indent, name, words) = match bus {
                Bus::Root(_, root) if root.is_empty() => (0.0, "?".to_owned(), "root bus"),
                Bus::Root(_, root) => (0.0, cut(root, 16), "root bus"),
                Bus::Bridge(bridge) => (24.0, bridge.to_string(), "bridge"),
            };
            let x = BUS.0 + indent;
            self.parts
                .push(rect((x, y), (BUS.1 - indent, BUS_HEIGHT), "class=\"b\"", 6));
            self.parts.push(text(x + 10.0, y + 17.0, &name, "m"));
            self.parts.push(text(x + 10.0, y + 31.0, words, "s"));
            for bdf in &below[bus] {
                let end = (GROUP.0 + INSET, self.device_y[bdf]);
                self.edges.push(edge((BUS.0 + BUS.1, centre), end, ""));
            }
        }
        for bus in &buses {
            let Bus::Bridge(bridge) = bus else { continue };
            let Some(device) = self.machine.devices.get(bridge) else {
                continue;
            };
            let parent = Self::bus_of(device);
            if let (Some(from), Some(to)) = (self.bus_y.get(&parent), self.bus_y.get(bus)) {
                let step = if matches!(parent, Bus::Root(..)) {
                    12.0
                } else {
                    34.0
                };
                self.edges
                    .push(shapes::down((BUS.0 + step, *from), (BUS.0 + 24.0, *to)));
            }
        }
    }

    fn draw_units(&mut self) {
        let machine = self.machine;
        let mut wanted = Vec::new();
        let mut roots = Vec::new();
        for name in machine.units.keys() {
            let found: Vec<f64> = self
                .bus_y
                .iter()
                .filter(|(bus, _)| matches!(bus, Bus::Root(unit, _) if unit == name))
                .map(|(_, y)| *y)
                .collect();
            wanted.push(middle(&found));
            roots.push(found);
        }
        let tops = self.spread(&wanted, UNIT_HEIGHT);
        for (((name, unit), y), roots) in machine.units.iter().zip(tops).zip(roots) {
            self.draw_unit(name, unit, y);
            for root in roots {
                let start = (UNIT.0 + UNIT.1, y + UNIT_HEIGHT / 2.0);
                self.edges.push(edge(start, (BUS.0, root), ""));
            }
        }
    }

    fn draw_unit(&mut self, name: &str, unit: &Unit, y: f64) {
        let failed = unit.state.starts_with("failed");
        let line = if failed { "#b42318" } else { "#334e68" };
        let look = format!("fill=\"#f0f4f8\" stroke=\"{line}\" stroke-width=\"1.6\"");
        self.parts
            .push(rect((UNIT.0, y), (UNIT.1, UNIT_HEIGHT), &look, 9));
        let (x, right) = (UNIT.0 + 14.0, UNIT.0 + UNIT.1 - 12.0);
        self.parts.push(text(x, y + 22.0, name, "t"));
        let style = if failed { "f" } else { "s" };
        self.parts
            .push(text_end(right, y + 22.0, &cut(&unit.state, 22), style));
        let mut lines = vec![
            unit.title(),
            format!(
                "tables: {}",
                unit.tables().replace(" bits", "").replace(" levels", "")
            ),
            format!("pages: {}", unit.page_sizes()),
            unit.domain_ids(),
        ];
        if !unit.counts.is_empty() {
            let count = |name: &str| many(unit.count(&format!("{name}s")), name);
            lines.push(format!("{}, {}", count("map"), count("unmap")));
            lines.push(count("descriptor"));
        }
        for (number, words) in lines.iter().enumerate() {
            let at = y + 44.0 + 17.0 * number as f64;
            self.parts.push(text(x, at, &cut(words, 32), "s"));
        }
        if let Some(faults) = unit_faults(unit) {
            self.parts
                .push(text_end(right, y + 44.0 + 17.0 * 5.0, &faults, "f"));
        }
    }

    fn draw_domains(&mut self) {
        let mut ends: BTreeMap<String, Vec<Bdf>> = BTreeMap::new();
        for (bdf, device) in self.drawn() {
            let key = domain_of(device);
            if self.domains.contains_key(&key) {
                ends.entry(key).or_default().push(bdf);
            }
        }
        let (order, wanted) = self.ordered(&ends);
        let tops = self.spread(&wanted, DOMAIN_HEIGHT);
        for (key, y) in order.iter().zip(tops) {
            self.draw_domain(key, y);
            for bdf in &ends[key] {
                let owner = Owner::of(self.machine, &self.machine.devices[bdf].group);
                let start = (GROUP.0 + GROUP.1 - INSET, self.device_y[bdf]);
                let style = format!(" style=\"stroke:{}\"", Look::of(owner).line);
                self.edges
                    .push(edge(start, (DOMAIN.0, y + DOMAIN_HEIGHT / 2.0), &style));
            }
        }
    }

    fn draw_domain(&mut self, key: &str, y: f64) {
        let domain = &self.domains[key];
        let (special, fill, line) = match key {
            "identity" | "untranslated" => ("reaches all of memory", "#fff1f0", "#b42318"),
            "blocked" => ("reaches nothing", "#f1f2f4", "#627d98"),
            _ => ("", "#fff", "#627d98"),
        };
        let look = format!("fill=\"{fill}\" stroke=\"{line}\" stroke-width=\"1.4\"");
        self.parts
            .push(rect((DOMAIN.0, y), (DOMAIN.1, DOMAIN_HEIGHT), &look, 9));
        let x = DOMAIN.0 + 14.0;
        self.parts.push(text(x, y + 20.0, &domain.name, "t"));
        self.parts.push(text_end(
            DOMAIN.0 + DOMAIN.1 - 12.0,
            y + 20.0,
            &domain.kind(),
            "s",
        ));
        let mut words = Vec::new();
        if !domain.ids.is_empty() {
            words.push(format!("domain-id {}", domain.ids));
        }
        if !domain.width.is_empty() {
            words.push(format!("{} bits", domain.width));
        }
        let first = if special.is_empty() {
            words.join(", ")
        } else {
            special.to_owned()
        };
        let lines = [first, domain.pages(), domain.work()];
        for (number, words) in lines.iter().filter(|words| !words.is_empty()).enumerate() {
            let at = y + 35.0 + 13.5 * number as f64;
            self.parts.push(text(x, at, &cut(words, 36), "s"));
        }
    }
}
