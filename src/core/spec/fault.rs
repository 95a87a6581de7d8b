// SPDX-License-Identifier: GPL-2.0

//! Fault records and fault reasons (VT-d 7.1.3, 11.4.14).

use super::address::{Iova, SourceId};
use super::bits::{bit, field};
use super::level::Stage;
use super::pte::Access;

/// F, bit 127 of `FRCD`, within the high word; writing it clears the record.
pub const FRCD_F: u64 = 1 << 63;

/// The type of a faulted request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultRequest {
    /// A memory read.
    Read,
    /// A memory read of instructions to execute.
    Execute,
    /// A memory write, or an interrupt request.
    Write,
    /// A page request.
    PageRequest,
    /// An atomic operation.
    Atomic,
}

/// One fault, as hardware recorded it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultRecord {
    /// SID: the requester.
    pub source: SourceId,
    /// T1 and T2: the type of the request.
    pub request: FaultRequest,
    /// FR: the reason.
    pub reason: FaultReason,
    /// PV, if PP is set: the PASID of the request.
    pub pasid: Option<u32>,
    /// FI: the fault information.
    info: u64,
}

/// A half of a fault record; software reads a record as two registers of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordHalf {
    /// Bits 63:0: FI.
    Low,
    /// Bits 127:64: F and the rest.
    High,
}

impl FaultRecord {
    /// Reads a record with `word`, or returns `None` if it is empty.
    ///
    /// It reads the half with F first. Hardware may fill an empty record at any moment, so a half
    /// that was read before F was seen set may belong to an older fault.
    pub fn read(mut word: impl FnMut(RecordHalf) -> u64) -> Option<Self> {
        let high = word(RecordHalf::High);
        if high & FRCD_F == 0 {
            return None;
        }
        Self::decode(word(RecordHalf::Low), high)
    }

    /// Decodes the record whose bits 63:0 are `low` and 127:64 are `high`, or returns `None` if the
    /// record is empty (F clear).
    pub const fn decode(low: u64, high: u64) -> Option<Self> {
        if high & FRCD_F == 0 {
            return None;
        }
        let request = match (bit(high, 62), bit(high, 28)) {
            (false, false) => FaultRequest::Write,
            (false, true) => FaultRequest::PageRequest,
            // EXE is valid only for requests with PASID.
            (true, false) if bit(high, 30) && bit(high, 31) => FaultRequest::Execute,
            (true, false) => FaultRequest::Read,
            (true, true) => FaultRequest::Atomic,
        };
        Some(Self {
            source: SourceId::from_raw(field(high, 15, 0) as u16),
            request,
            reason: FaultReason(field(high, 39, 32) as u8),
            pasid: if bit(high, 31) {
                Some(field(high, 59, 40) as u32)
            } else {
                None
            },
            info: low,
        })
    }

    /// Returns the first byte of the requested page; meaningless for interrupt faults.
    pub const fn address(self) -> Iova {
        Iova::new(self.info).page()
    }

    /// Returns whether the faulted request was an interrupt request.
    pub const fn is_interrupt(self) -> bool {
        matches!(self.reason.class(), FaultClass::Interrupt)
    }

    /// Returns the index into the interrupt remapping table, for a fault of an interrupt request in
    /// remappable format. A request in compatibility format names none.
    pub const fn interrupt_index(self) -> Option<u16> {
        if !self.is_interrupt() || self.reason.0 == FaultReason::COMPATIBILITY_FORMAT.0 {
            return None;
        }
        Some(field(self.info, 63, 48) as u16)
    }
}

/// The class of requests to which a fault reason belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultClass {
    /// DMA through a unit in legacy mode.
    Dma,
    /// An interrupt request.
    Interrupt,
    /// DMA through a unit in scalable mode.
    ScalableDma,
    /// A reason that is not in the table.
    Unknown,
}

/// FR: the reason of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct FaultReason(u8);

impl FaultReason {
    /// An interrupt request in compatibility format was blocked.
    pub const COMPATIBILITY_FORMAT: Self = Self(0x25);

    /// Returns the reason with this code; every code is allowed.
    pub const fn new(code: u8) -> Self {
        Self(code)
    }

    /// Returns the code, as the specification's table numbers it.
    pub const fn code(self) -> u8 {
        self.0
    }

    /// Returns the class of requests to which the code belongs.
    pub const fn class(self) -> FaultClass {
        if !self.is_known() {
            return FaultClass::Unknown;
        }
        match self.0 {
            0x00..=0x1f => FaultClass::Dma,
            0x20..=0x2f => FaultClass::Interrupt,
            _ => FaultClass::ScalableDma,
        }
    }

    /// Returns whether the specification's table has the code.
    pub const fn is_known(self) -> bool {
        matches!(
            self.0,
            0x1..=0xd
                | 0x20..=0x26
                | 0x30..=0x32
                | 0x38..=0x3a
                | 0x40..=0x48
                | 0x50..=0x52
                | 0x58..=0x5d
                | 0x70..=0x7c
                | 0x80..=0x87
                | 0x90
        )
    }

    /// Returns the reason of legacy mode for a reason of scalable mode that is about a root entry, a
    /// context entry or, if `stage` is the second, a table that refuses `access`; [`None`] for all
    /// others. QEMU's unit reports these in scalable mode, too.
    pub const fn in_legacy_mode(self, access: Access, stage: Option<Stage>) -> Option<Self> {
        let code = match (self.0, stage) {
            (0x39, _) => 0x1,
            (0x3a, _) => 0xa,
            (0x41, _) => 0x2,
            (0x42, _) => 0xb,
            (0x79 | 0x85 | 0x86, Some(Stage::Second)) if access.writes() => 0x5,
            (0x79 | 0x85 | 0x86, Some(Stage::Second)) => 0x6,
            (0x7a, Some(Stage::Second)) => 0xc,
            (0x84, Some(Stage::Second)) => 0x4,
            _ => return None,
        };
        Some(Self(code))
    }

    /// Returns the section of the VT-d specification whose table of fault conditions has the code.
    pub const fn section(self) -> &'static str {
        match self.0 {
            0x20..=0x2f => "5.1.4.1",
            _ => "7.1.3",
        }
    }

    /// Returns whether the fault shows that the tables are wrong, rather than that the device
    /// requested an access that was not granted. Such a fault is a bug of this driver or of the
    /// unit.
    pub const fn is_caused_by_tables(self) -> bool {
        matches!(
            self.0,
            0x3 | 0x7
                ..=0xc
                    | 0x23
                    | 0x24
                    | 0x30
                    | 0x38
                    | 0x3a
                    | 0x40
                    | 0x42
                    | 0x43
                    | 0x48
                    | 0x50
                    | 0x52
                    | 0x58
                    | 0x5a
                    | 0x5b
                    | 0x70
                    | 0x72
                    | 0x73
                    | 0x78
                    | 0x7a
                    | 0x7b
        )
    }
}
