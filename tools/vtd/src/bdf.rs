// SPDX-License-Identifier: GPL-2.0

//! The address of a PCI function.

use std::fmt;
use vtd_core::spec::address::{Segment, SourceId};

/// Segment, bus, device and function. The kernel's segments can be wider than VT-d's 16 bits:
/// devices behind a VMD controller have such a segment, and are behind no unit by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bdf {
    pub segment: u32,
    pub source: SourceId,
}

impl Bdf {
    /// Reads `0000:00:05.0`, or `00:05.0` in segment 0.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        let (rest, function) = text.rsplit_once('.')?;
        let (rest, device) = rest.rsplit_once(':')?;
        let (segment, bus) = rest.rsplit_once(':').unwrap_or(("0000", rest));
        let hex = |text: &str, least: usize, most: usize| {
            let fits = (least..=most).contains(&text.len());
            let plain = text.bytes().all(|byte| byte.is_ascii_hexdigit());
            u32::from_str_radix(text, 16).ok().filter(|_| fits && plain)
        };
        let byte = |text: &str, digits: usize| {
            hex(text, digits, digits).and_then(|value| u8::try_from(value).ok())
        };
        Some(Self {
            segment: hex(segment, 4, 8)?,
            source: SourceId::new(byte(bus, 2)?, byte(device, 2)?, byte(function, 1)?)?,
        })
    }

    /// Returns the segment as VT-d has it.
    pub fn vtd_segment(self) -> Option<Segment> {
        u16::try_from(self.segment).ok().map(Segment::new)
    }

    /// Returns whether both are functions of one device.
    pub fn same_slot(self, other: Self) -> bool {
        self.segment == other.segment
            && self.source.bus() == other.source.bus()
            && self.source.device() == other.source.device()
    }
}

impl fmt::Display for Bdf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{}", self.segment, self.source)
    }
}
