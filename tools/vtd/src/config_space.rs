// SPDX-License-Identifier: GPL-2.0

//! Capabilities in a PCI function's configuration space: its place in PCI Express, ACS, ATS, PASID.

/// The bits of access control that isolate what is below a port (the core's REQ_ACS_FLAGS): source
/// validation, request and completion redirect, upstream forwarding.
const ACS_BITS: [(u16, &str); 4] = [
    (1 << 0, "source validation"),
    (1 << 2, "request redirect"),
    (1 << 3, "completion redirect"),
    (1 << 4, "upstream forwarding"),
];

const EXPRESS: u8 = 0x10;
const ACS: u16 = 0x0d;
const ATS: u16 = 0x0f;
const PRI: u16 = 0x13;
const PASID: u16 = 0x1b;

/// A function's place in PCI Express.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    Endpoint,
    Root,
    Upstream,
    Downstream,
    /// From PCI Express to conventional PCI.
    ToPci,
    /// From conventional PCI to PCI Express.
    ToExpress,
    /// Integrated into the root complex.
    Integrated,
    EventCollector,
    /// A function without a PCI Express capability.
    Conventional,
}

/// How access control is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acs {
    /// The function has no such capability.
    None,
    /// Everything that isolates is on, as far as the function has it.
    On,
    /// These parts are off.
    Off(Vec<&'static str>),
}

/// A feature that a function has, and whether it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    None,
    Off,
    On,
}

/// The configuration space as far as it could be read.
pub struct ConfigSpace<'a>(&'a [u8]);

impl<'a> ConfigSpace<'a> {
    /// Returns `None` for less than 256 bytes: the kernel shows an ordinary user 64, which have no
    /// capabilities.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        (bytes.len() >= 256).then_some(Self(bytes))
    }

    fn u8(&self, at: usize) -> Option<u8> {
        self.0.get(at).copied()
    }

    fn u16(&self, at: usize) -> Option<u16> {
        Some(u16::from_le_bytes([self.u8(at)?, self.u8(at + 1)?]))
    }

    fn u32(&self, at: usize) -> Option<u32> {
        Some(u32::from(self.u16(at)?) | (u32::from(self.u16(at + 2)?) << 16))
    }

    pub fn is_multifunction(&self) -> bool {
        self.u8(0x0e).is_some_and(|kind| kind & 0x80 != 0)
    }

    /// Returns the buses behind a bridge: secondary and subordinate.
    pub fn buses_below(&self) -> Option<(u8, u8)> {
        (self.u8(0x0e)? & 0x7f == 1).then_some(())?;
        Some((self.u8(0x19)?, self.u8(0x1a)?))
    }

    /// Returns the offset of a capability.
    fn find(&self, wanted: u8) -> Option<usize> {
        // Without this bit of the status register there is no list.
        (self.u16(6)? & (1 << 4) != 0).then_some(())?;
        let mut at = usize::from(self.u8(0x34)? & !3);
        // A list that runs in a circle ends, too.
        for _ in 0..48 {
            if at < 0x40 {
                return None;
            }
            if self.u8(at)? == wanted {
                return Some(at);
            }
            at = usize::from(self.u8(at + 1)? & !3);
        }
        None
    }

    /// Returns the offset of an extended capability.
    fn find_extended(&self, wanted: u16) -> Option<usize> {
        let mut at = 0x100;
        for _ in 0..960 {
            let header = self
                .u32(at)
                .filter(|header| !matches!(*header, 0 | u32::MAX))?;
            if header & 0xffff == u32::from(wanted) {
                return Some(at);
            }
            at = ((header >> 20) & !3) as usize;
            if at < 0x100 {
                return None;
            }
        }
        None
    }

    pub fn port(&self) -> Port {
        let Some(flags) = self.find(EXPRESS).and_then(|at| self.u16(at + 2)) else {
            return Port::Conventional;
        };
        match (flags >> 4) & 0xf {
            4 => Port::Root,
            5 => Port::Upstream,
            6 => Port::Downstream,
            7 => Port::ToPci,
            8 => Port::ToExpress,
            9 => Port::Integrated,
            10 => Port::EventCollector,
            _ => Port::Endpoint,
        }
    }

    pub fn acs(&self) -> Acs {
        let Some(at) = self.find_extended(ACS) else {
            return Acs::None;
        };
        let (Some(has), Some(on)) = (self.u16(at + 4), self.u16(at + 6)) else {
            return Acs::None;
        };
        // What a function does not have, it does not need: the core's pci_acs_flags_enabled().
        let off = |bit: u16| has & bit != 0 && on & bit == 0;
        let off: Vec<_> = ACS_BITS.into_iter().filter(|(bit, _)| off(*bit)).collect();
        if off.is_empty() {
            Acs::On
        } else {
            Acs::Off(off.into_iter().map(|(_, name)| name).collect())
        }
    }

    fn feature(&self, id: u16, control: usize, bit: u16) -> Feature {
        match self.find_extended(id).and_then(|at| self.u16(at + control)) {
            None => Feature::None,
            Some(value) if value & bit != 0 => Feature::On,
            Some(_) => Feature::Off,
        }
    }

    /// Returns whether the device caches translations.
    pub fn ats(&self) -> Feature {
        self.feature(ATS, 6, 1 << 15)
    }

    pub fn pasid(&self) -> Feature {
        self.feature(PASID, 6, 1)
    }

    /// Returns whether the device requests pages.
    pub fn page_requests(&self) -> Feature {
        self.feature(PRI, 4, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space() -> Vec<u8> {
        let mut bytes = vec![0; 4096];
        bytes[6] = 0x10;
        bytes[0x34] = 0x40;
        bytes
    }

    #[test]
    fn lists_in_a_circle_end() {
        let mut bytes = space();
        bytes[0x40..0x42].copy_from_slice(&[0x05, 0x40]);
        // An extended capability that points to itself.
        bytes[0x100..0x104].copy_from_slice(&0x1000_0001u32.to_le_bytes());
        let config = ConfigSpace::new(&bytes).unwrap();
        assert_eq!(config.port(), Port::Conventional);
        assert_eq!(config.acs(), Acs::None);
    }

    #[test]
    fn acs_counts_only_what_is_there() {
        let mut bytes = space();
        bytes[0x40..0x44].copy_from_slice(&[0x10, 0, 0x42, 0]);
        bytes[0x100..0x104].copy_from_slice(&0x0001_000du32.to_le_bytes());
        for (has, on, acs) in [
            (0x1d, 0x1d, Acs::On),
            (0x5, 0x5, Acs::On),
            (
                0x1d,
                0x0c,
                Acs::Off(vec!["source validation", "upstream forwarding"]),
            ),
        ] {
            bytes[0x104] = has;
            bytes[0x106] = on;
            let config = ConfigSpace::new(&bytes).unwrap();
            assert_eq!((config.port(), config.acs()), (Port::Root, acs));
        }
    }

    #[test]
    fn any_bytes_are_read() {
        for byte in 0..=255u8 {
            for size in [256, 257, 259, 4096] {
                let bytes = vec![byte; size];
                let config = ConfigSpace::new(&bytes).unwrap();
                let _ = (
                    config.port(),
                    config.acs(),
                    config.ats(),
                    config.buses_below(),
                );
            }
        }
        assert!(ConfigSpace::new(&[0; 64]).is_none());
    }
}
