// SPDX-License-Identifier: GPL-2.0

//! The forms of the lines, and what reads each.

use super::{Fault, Line, RMRR, UNSAFE};
use crate::bdf::Bdf;
use regex_lite::{Captures, Regex};
use vtd_core::spec::address::SourceId;
use vtd_core::spec::descriptor::Descriptor;
use vtd_core::spec::status::Fsts;

type Reader = fn(&Captures<'_>) -> Option<Line>;

/// The address of a device; `BDF` in a form is replaced by this.
const BDF: &str = r"(?P<bdf>(?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])";

/// The first form that fits a line reads it.
const FORMS: [(&str, Reader); 9] = [
    // vtd: a device, or a requester that is no device.
    (
        concat!(
            r"vtd(?: [0-9a-f:.]+)?: (?P<unit>\S+): fault: (?P<noun>device|requester) BDF",
            r"(?P<who> \([^)]*\))?.*? (?:",
            r"(?P<access>read|write|execute|atomic|page request) of ",
            r"(?P<address>0x[0-9a-f]+)|interrupt request (?:(?P<index>0x[0-9a-f]+)",
            r"|in compatibility format))",
            r"(?: \(PASID (?P<pasid>0x[0-9a-f]+)\))? refused: .*?\(",
            r"(?:VT-d [0-9.]+, )?reason (?P<reason>0x[0-9a-f]+)\)(?:[,;] (?P<rest>.*))?",
        ),
        ours,
    ),
    // In-tree: 7.3 and older kernels, which print decimal codes and bare addresses.
    (
        concat!(
            r"DMAR: ?\[DMA (?P<access>Read|Write)(?: (?:NO_PASID|PASID ",
            r"(?P<pasid>0x[0-9a-f]+)))?\] Request device \[BDF\](?: PASID ",
            r"(?P<pasid2>[0-9a-f]+))? fault addr (?P<address>(?:0x)?[0-9a-f]+)",
            r"(?:\s+\[fault reason (?P<reason>0x[0-9a-f]+|\d+)\])?",
        ),
        in_tree,
    ),
    (
        concat!(
            r"DMAR: ?\[INTR-REMAP\] Request device \[BDF\] fault index (?P<address>",
            r"(?:0x)?[0-9a-f]+)\s+\[fault reason (?P<reason>0x[0-9a-f]+|\d+)\]",
        ),
        in_tree,
    ),
    (
        r"DMAR: DRHD: handling fault status reg (?P<status>[0-9a-f]+)",
        status,
    ),
    (
        concat!(
            r"DMAR: VT-d detected Invalidation (?P<what>Queue|Time-out|Completion) Error: ",
            r"(?:Reason|SID) (?P<value>[0-9a-f]+)",
        ),
        queue,
    ),
    (
        concat!(
            r"DMAR: QI (?P<which>HEAD|PRIOR): .*?qw0 = 0x(?P<low>[0-9a-f]+), qw1 = 0x",
            r"(?P<high>[0-9a-f]+)",
        ),
        descriptor,
    ),
    (
        concat!(
            r"vtd_dmar_fault sid 0x(?P<sid>[0-9a-f]+) fault (?P<reason>\d+) addr ",
            r"(?P<address>0x[0-9a-f]+) write (?P<write>[01])",
        ),
        qemu,
    ),
    // vtd's other lines about faults are sentences already.
    (
        concat!(
            r"vtd(?: [0-9a-f:.]+)?: (?P<text>\S+: (?:fault: |its invalidation queue |.* ",
            r"(?:ITE|ICE)\)|.*cannot be given to a user).*)",
        ),
        plain,
    ),
    (
        concat!(
            r"(?P<text>(?:DMAR: .*(?:Firmware Bug|Disabling IOMMU for graphics)|\S*.*",
            r"(?:ineligible for IOMMU domain attach due to platform RMRR|No interrupt ",
            r"remapping support)).*)",
        ),
        kernel_note,
    ),
];

/// Reads lines about faults.
pub struct Decoder(Vec<(Regex, Reader)>);

impl Decoder {
    pub fn new() -> Self {
        let forms = FORMS
            .iter()
            .map(|(form, reader)| (form.replace("BDF", BDF), *reader));
        // The forms are constants, and a test counts those that compile.
        Self(
            forms
                .filter_map(|(form, reader)| Some((Regex::new(&form).ok()?, reader)))
                .collect(),
        )
    }

    /// Returns how many forms there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns what a line says about faults, or `None` for any other line.
    pub fn decode(&self, line: &str) -> Option<Line> {
        // The expressions are for lines, and a file may be one huge line.
        let end = line
            .char_indices()
            .nth(4096)
            .map_or(line.len(), |(at, _)| at);
        let line = &line[..end];
        if !["vtd", "DMAR", "RMRR", "nterrupt remapping"]
            .iter()
            .any(|word| line.contains(word))
        {
            return None;
        }
        self.0
            .iter()
            .find_map(|(form, reader)| reader(&form.captures(line)?))
    }
}

fn group<'h>(found: &Captures<'h>, name: &str) -> &'h str {
    found.name(name).map_or("", |found| found.as_str())
}

fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()
}

/// Reads a code: decimal without 0x, as some kernels printed it.
fn code(text: &str) -> Option<u64> {
    if text.starts_with("0x") {
        hex(text)
    } else {
        text.parse().ok()
    }
}

fn ours(found: &Captures<'_>) -> Option<Line> {
    let address = found.name("address").or(found.name("index"));
    Some(Line::Fault(Fault {
        noun: if group(found, "noun") == "device" {
            "device"
        } else {
            "requester"
        },
        bdf: Bdf::parse(group(found, "bdf"))?,
        who: group(found, "who").to_owned(),
        access: group(found, "access").to_owned(),
        address: address.and_then(|address| hex(address.as_str())),
        pasid: hex(group(found, "pasid")),
        reason: code(group(found, "reason")),
        rest: group(found, "rest").trim_end().to_owned(),
        is_ours: true,
    }))
}

fn in_tree(found: &Captures<'_>) -> Option<Line> {
    let name = |name: &'static str| found.name(name).map(|it| it.as_str());
    let pasid = name("pasid").or(name("pasid2")).and_then(hex);
    Some(Line::Fault(Fault {
        noun: "device",
        bdf: Bdf::parse(group(found, "bdf"))?,
        who: String::new(),
        access: name("access").unwrap_or_default().to_lowercase(),
        address: Some(hex(group(found, "address"))?),
        pasid: pasid.filter(|pasid| *pasid != 0xffff_ffff),
        reason: code(group(found, "reason")),
        rest: String::new(),
        is_ours: false,
    }))
}

fn qemu(found: &Captures<'_>) -> Option<Line> {
    let source = u16::try_from(hex(group(found, "sid"))?).ok()?;
    Some(Line::Fault(Fault {
        noun: "device",
        bdf: Bdf {
            segment: 0,
            source: SourceId::from_raw(source),
        },
        who: String::new(),
        access: if group(found, "write") == "1" {
            "write"
        } else {
            "read"
        }
        .to_owned(),
        address: Some(hex(group(found, "address"))?),
        pasid: None,
        reason: code(group(found, "reason")),
        rest: String::new(),
        is_ours: false,
    }))
}

fn status(found: &Captures<'_>) -> Option<Line> {
    let raw = u32::try_from(hex(group(found, "status"))?).ok()?;
    let mut words: Vec<_> = Fsts::from_raw(raw).errors().collect();
    for (bit, name) in [
        (1, "fault records are filled (PPF)"),
        (2, "the advanced fault log overflowed (AFO)"),
        (3, "faults are in the log (APF)"),
    ] {
        if (raw >> bit) & 1 != 0 {
            words.push(name);
        }
    }
    let words = if words.is_empty() {
        "none".to_owned()
    } else {
        words.join(", ")
    };
    Some(Line::Note(
        format!("a unit reports faults: {words} (FSTS {raw:#x}, VT-d 11.4.9)"),
        "",
    ))
}

fn queue(found: &Captures<'_>) -> Option<Line> {
    let value = hex(group(found, "value"))?;
    let source = SourceId::from_raw((value & 0xffff) as u16);
    let text = match group(found, "what") {
        "Queue" => format!("invalid descriptor in the queue (IQE), information {value:#x}"),
        "Time-out" => {
            format!("a device did not answer an invalidation (ITE), device 0000:{source}")
        }
        _ => format!("wrong invalidation completion (ICE), device 0000:{source}"),
    };
    Some(Line::Note(
        format!("a unit's invalidation queue: {text} (VT-d 11.4.9)"),
        "",
    ))
}

fn descriptor(found: &Captures<'_>) -> Option<Line> {
    let (low, high) = (hex(group(found, "low"))?, hex(group(found, "high"))?);
    let words = match Descriptor::decode([low, high]) {
        Ok(descriptor) => descriptor.to_string(),
        Err(_) => format!("none that VT-d knows ({high:#018x} {low:#018x})"),
    };
    let which = if group(found, "which") == "HEAD" {
        "at its head"
    } else {
        "before its head"
    };
    Some(Line::Note(
        format!("the queue's descriptor {which}: {words}"),
        "",
    ))
}

fn plain(found: &Captures<'_>) -> Option<Line> {
    Some(Line::Note(group(found, "text").trim_end().to_owned(), ""))
}

fn kernel_note(found: &Captures<'_>) -> Option<Line> {
    let text = group(found, "text").trim().to_owned();
    let cause = if text.contains("RMRR") {
        RMRR
    } else if text.contains("interrupt remapping") {
        UNSAFE
    } else {
        ""
    };
    // Without the time, which is shown in front.
    let text = text
        .split_once("] ")
        .filter(|(time, _)| time.starts_with('['))
        .map_or(text.clone(), |(_, rest)| rest.to_owned());
    Some(Line::Note(text, cause))
}
