// SPDX-License-Identifier: GPL-2.0

//! Names of PCI devices: from pci.ids where there is one, else the kind of the device.

use crate::machine::Device;
use crate::root::{plain, Root};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

const PLACES: [&str; 4] = [
    "usr/share/misc/pci.ids",
    "usr/share/hwdata/pci.ids",
    "usr/share/pci.ids",
    "usr/share/misc/pci.ids.gz",
];
const MOST_BYTES: u64 = 16 << 20;

/// The kinds that matter here, by class and subclass, or by class.
const KINDS: [(u32, &str); 29] = [
    (0x0100, "SCSI controller"),
    (0x0101, "IDE controller"),
    (0x0104, "RAID controller"),
    (0x0106, "SATA controller"),
    (0x0107, "SAS controller"),
    (0x0108, "NVMe disk"),
    (0x0200, "Ethernet controller"),
    (0x0207, "InfiniBand controller"),
    (0x0280, "network controller"),
    (0x0300, "graphics"),
    (0x0302, "3D controller"),
    (0x0380, "display controller"),
    (0x0403, "audio device"),
    (0x0580, "memory controller"),
    (0x0600, "host bridge"),
    (0x0601, "ISA bridge"),
    (0x0604, "PCI bridge"),
    (0x0700, "serial controller"),
    (0x0780, "communication controller"),
    (0x0880, "system device"),
    (0x0c00, "FireWire controller"),
    (0x0c03, "USB controller"),
    (0x0c05, "SMBus controller"),
    (0x0d80, "wireless controller"),
    (0x1080, "encryption controller"),
    (0x1180, "signal processing controller"),
    (0x1200, "accelerator"),
    (0x0500, "memory"),
    (0x0107, "SAS controller"),
];

/// Names of vendors and devices.
#[derive(Default)]
pub struct Names {
    vendors: BTreeMap<u16, String>,
    devices: BTreeMap<(u16, u16), String>,
}

impl Names {
    /// Reads the system's pci.ids, or that of this machine if the system has none.
    pub fn of(root: &Root, devices: impl Iterator<Item = (u16, u16)>) -> Self {
        let wanted: Vec<_> = devices.collect();
        let own = Root::new(Path::new("/"));
        [root, &own]
            .iter()
            .flat_map(|root| PLACES.iter().map(|place| root.path(place)))
            .find_map(|path| Self::read(&path, &wanted))
            .unwrap_or_default()
    }

    fn read(path: &Path, wanted: &[(u16, u16)]) -> Option<Self> {
        let is_gzip = path.extension().is_some_and(|end| end == "gz");
        let file = File::open(path)
            .ok()
            .filter(|file| file.metadata().is_ok_and(|metadata| metadata.is_file()))?;
        let reader: Box<dyn Read> = if is_gzip {
            Box::new(flate2::read::MultiGzDecoder::new(file))
        } else {
            Box::new(file)
        };
        let mut names = Self::default();
        let mut vendor = None;
        for line in BufReader::new(reader.take(MOST_BYTES))
            .split(b'\n')
            .map_while(Result::ok)
        {
            let line = plain(&line);
            // The classes follow the devices.
            if line.starts_with("C ") {
                break;
            }
            let number = |text: &str| u16::from_str_radix(text.get(..4)?, 16).ok();
            if line.starts_with("\t\t") || line.starts_with('#') {
                continue;
            }
            if let Some(rest) = line.strip_prefix('\t') {
                if let (Some(vendor), Some(id)) = (vendor, number(rest)) {
                    if wanted.contains(&(vendor, id)) {
                        let name = rest[4..].trim().to_owned();
                        names.devices.insert((vendor, id), name);
                    }
                }
            } else if let Some(id) = number(&line) {
                vendor = wanted.iter().any(|(wanted, _)| *wanted == id).then_some(id);
                if vendor.is_some() {
                    names.vendors.insert(id, line[4..].trim().to_owned());
                }
            }
        }
        Some(names)
    }

    /// Returns what a device is: its name, or its kind and numbers.
    pub fn of_device(&self, device: &Device) -> String {
        let numbers = format!("{:04x}:{:04x}", device.vendor, device.id);
        let name = match self.devices.get(&(device.vendor, device.id)) {
            Some(name) => Some(name),
            None => self.vendors.get(&device.vendor),
        };
        match (kind(device.class), name) {
            (Some(kind), Some(name)) => format!("{kind}, {name} [{numbers}]"),
            (Some(kind), None) => format!("{kind} [{numbers}]"),
            (None, Some(name)) => format!("{name} [{numbers}]"),
            (None, None) => format!("[{numbers}]"),
        }
    }
}

/// Returns the kind of a device by its class code.
pub fn kind(class: u32) -> Option<&'static str> {
    let found = KINDS.iter().find(|(code, _)| *code == class >> 8);
    found.map(|(_, name)| *name)
}
