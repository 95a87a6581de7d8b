// SPDX-License-Identifier: GPL-2.0

//! Interrupt remapping: entries of its table, the register that points to it, and the messages that
//! name its entries (VT-d 5.1, 9.10, 11.4.26).

use super::address::{PhysAddr, SourceId};
use super::bits::{at, bit, field, flag, one};
use core::fmt;

/// Bytes of an interrupt remapping entry.
pub const ENTRY_BYTES: usize = 16;

/// The most entries that a table can have: an index has 16 bits.
pub const MAX_ENTRIES: usize = 1 << 16;

/// SVT: the entry accepts the source-ids that match SID in the bits that SQ selects.
const VERIFY_SOURCE: u64 = 0b01;
/// SVT: the entry accepts the buses from the upper to the lower byte of SID.
const VERIFY_BUSES: u64 = 0b10;
/// SQ: bits 2:0 of the source-id, the function, are ignored.
const IGNORE_FUNCTION: u64 = 0b11;

/// The requesters whose interrupt requests an entry accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceCheck {
    /// One source-id.
    Source(SourceId),
    /// Every function of the device that has this source-id.
    Device(SourceId),
    /// Every source-id on these buses.
    Buses {
        /// The first bus.
        first: u8,
        /// The last bus.
        last: u8,
    },
}

impl SourceCheck {
    /// Returns the strictest check that accepts the interrupts of a device whose requests arrive
    /// with `requesters`: its own source-id, those of its alias quirks, and those by which bridges
    /// replace it, from the device up. `None` if the list is empty.
    ///
    /// A bridge to conventional PCI forwards with function 0 of the bus behind it, or with its own
    /// source-id. In the first case a device further below may also be named by that bus, so all
    /// buses from there to the device are accepted: the devices on them are in one group.
    pub fn of(requesters: &[SourceId]) -> Option<Self> {
        let (own, top) = (*requesters.first()?, *requesters.last()?);
        let all = |accepts: &dyn Fn(&SourceId) -> bool| requesters.iter().all(accepts);
        Some(if all(&|id| *id == own) {
            Self::Source(own)
        } else if all(&|id| id.raw() >> 3 == own.raw() >> 3) {
            Self::Device(own)
        } else if top.bus() == own.bus() || (top.devfn() == 0 && top.bus() < own.bus()) {
            Self::Buses {
                first: top.bus(),
                last: own.bus(),
            }
        } else {
            Self::Source(top)
        })
    }

    /// Returns whether an entry with this check accepts a request from `source`.
    pub const fn accepts(self, source: SourceId) -> bool {
        match self {
            Self::Source(only) => source.raw() == only.raw(),
            Self::Device(device) => source.raw() >> 3 == device.raw() >> 3,
            Self::Buses { first, last } => first <= source.bus() && source.bus() <= last,
        }
    }

    const fn encode(self) -> u64 {
        match self {
            Self::Source(source) => source.raw() as u64 | at(VERIFY_SOURCE, 18),
            Self::Device(device) => {
                device.raw() as u64 | at(IGNORE_FUNCTION, 16) | at(VERIFY_SOURCE, 18)
            }
            Self::Buses { first, last } => at(first as u64, 8) | last as u64 | at(VERIFY_BUSES, 18),
        }
    }
}

impl fmt::Display for SourceCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(source) => write!(f, "{source}"),
            Self::Device(device) => {
                write!(f, "{:02x}:{:02x}.*", device.bus(), device.device())
            }
            Self::Buses { first, last } => write!(f, "buses {first:02x} to {last:02x}"),
        }
    }
}

/// How destinations of interrupts are encoded, for the whole table (IRTA.EIME).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ApicMode {
    /// xAPIC: destinations of 8 bits.
    XApic,
    /// x2APIC: destinations of 32 bits. Requests in compatibility format are always blocked.
    X2Apic,
}

/// Where an interrupt is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InterruptTarget {
    /// The vector.
    pub vector: u8,
    /// The APIC ID, or a set of processors if `logical`.
    pub destination: u32,
    /// DM: whether the destination is a logical one.
    pub logical: bool,
}

/// An interrupt remapping entry in the remapped format (VT-d 9.10): fixed delivery, edge triggered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InterruptEntry {
    /// Bits 63:0. One store of them redirects the interrupt.
    pub low: u64,
    /// Bits 127:64: the source check.
    pub high: u64,
}

impl InterruptEntry {
    /// An entry that refuses every request.
    pub const ABSENT: Self = Self { low: 0, high: 0 };

    /// Creates a present entry, or returns `None` if the destination does not fit in `mode`.
    pub const fn new(target: InterruptTarget, check: SourceCheck, mode: ApicMode) -> Option<Self> {
        match Self::low(target, mode) {
            Some(low) => Some(Self {
                low,
                high: check.encode(),
            }),
            None => None,
        }
    }

    /// Returns bits 63:0 of a present entry, or `None` if the destination does not fit in `mode`.
    pub const fn low(target: InterruptTarget, mode: ApicMode) -> Option<u64> {
        let destination = match mode {
            ApicMode::XApic if target.destination > 0xff => return None,
            ApicMode::XApic => at(target.destination as u64, 40),
            ApicMode::X2Apic => at(target.destination as u64, 32),
        };
        // RH: as the kernel's own driver, which lets hardware choose within a logical destination.
        Some(one(0) | flag(target.logical, 2) | one(3) | at(target.vector as u64, 16) | destination)
    }

    /// Returns bits 127:64 for `check`.
    pub const fn high(check: SourceCheck) -> u64 {
        check.encode()
    }

    /// Returns whether the entry is present (P).
    pub const fn is_present(self) -> bool {
        bit(self.low, 0)
    }

    /// Returns whether its faults are not recorded (FPD).
    pub const fn is_fault_processing_disabled(self) -> bool {
        bit(self.low, 1)
    }

    /// Returns this entry with its faults not recorded.
    pub const fn without_fault_processing(self) -> Self {
        Self {
            low: self.low | one(1),
            high: self.high,
        }
    }

    /// Returns where a present entry delivers its interrupt.
    pub const fn target(self, mode: ApicMode) -> InterruptTarget {
        InterruptTarget {
            vector: field(self.low, 23, 16) as u8,
            destination: match mode {
                ApicMode::XApic => field(self.low, 47, 40) as u32,
                ApicMode::X2Apic => field(self.low, 63, 32) as u32,
            },
            logical: bit(self.low, 2),
        }
    }

    /// Returns the requesters that the entry accepts, or `None` for a check that this driver does
    /// not write.
    pub const fn source_check(self) -> Option<SourceCheck> {
        let source = SourceId::from_raw(field(self.high, 15, 0) as u16);
        match (field(self.high, 19, 18), field(self.high, 17, 16)) {
            (VERIFY_SOURCE, 0) => Some(SourceCheck::Source(source)),
            (VERIFY_SOURCE, IGNORE_FUNCTION) => Some(SourceCheck::Device(source)),
            (VERIFY_BUSES, _) => Some(SourceCheck::Buses {
                first: source.bus(),
                last: source.devfn(),
            }),
            _ => None,
        }
    }
}

/// Returns the value of `IRTA` for a table of `2^(order + 8)` entries, which are `2^order` pages;
/// `None` if `table` is not page aligned, or if no table is that long.
pub const fn table_address(table: PhysAddr, order: u32, mode: ApicMode) -> Option<u64> {
    if !table.is_page_aligned() || order > 8 {
        return None;
    }
    let extended = matches!(mode, ApicMode::X2Apic);
    // S: the table has 2^(S + 1) entries.
    Some(table.raw() | flag(extended, 11) | (order as u64 + 7))
}

/// An interrupt request in remappable format: what a device writes, and where
/// (VT-d 5.1.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RemappableRequest {
    /// The address of the write.
    pub address: u32,
    /// Its data. A device with several messages adds the number of the message.
    pub data: u32,
}

impl RemappableRequest {
    /// Creates the request that names the entry `first + number`. The devices of conventional MSI
    /// have one address for all their messages, so `first` is the entry of the first of them.
    pub const fn new(first: u16, number: u16) -> Self {
        let handle = first as u64;
        let address = at(0xfee, 20)
            | at(field(handle, 14, 0), 5)
            | one(4)
            | one(3)
            | at(field(handle, 15, 15), 2);
        Self {
            address: address as u32,
            data: number as u32,
        }
    }

    /// Returns the index of the entry that the request names, or `None` if it is in compatibility
    /// format.
    pub const fn index(self) -> Option<u32> {
        let address = self.address as u64;
        if !bit(address, 4) {
            return None;
        }
        let handle = field(address, 19, 5) | at(field(address, 2, 2), 15);
        let number = if bit(address, 3) {
            field(self.data as u64, 15, 0)
        } else {
            0
        };
        Some(handle as u32 + number as u32)
    }
}
