// SPDX-License-Identifier: GPL-2.0

//! The global command and status registers and the fault status register
//! (VT-d 11.4.4, 11.4.9).

/// Bits of `GCMD` that are commands rather than states: SRTP, SFL, WBF and SIRTP.
const ONE_SHOT: u32 = 0x6900_0000;

/// A value for `GCMD`.
///
/// Hardware takes one command per write, and a write with a state bit clear turns that state off.
/// So build every value from [`Gcmd::from_status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Gcmd(u32);

impl Gcmd {
    /// TE: translation enable (a state).
    pub const TRANSLATION: Self = Self(1 << 31);
    /// SRTP: accept the root table from `RTADDR` (one-shot).
    pub const SET_ROOT_TABLE: Self = Self(1 << 30);
    /// WBF: flush the write buffer (one-shot; only if `CAP.RWBF`).
    pub const FLUSH_WRITE_BUFFER: Self = Self(1 << 27);
    /// QIE: queued invalidation enable (a state).
    pub const QUEUE: Self = Self(1 << 26);
    /// IRE: interrupt remapping enable (a state).
    pub const INTERRUPT_REMAPPING: Self = Self(1 << 25);
    /// SIRTP: accept the interrupt remapping table from `IRTA` (one-shot).
    pub const SET_INTERRUPT_TABLE: Self = Self(1 << 24);
    /// CFI: let interrupt requests in compatibility format pass (a state; only in xAPIC mode).
    pub const COMPATIBILITY_FORMAT: Self = Self(1 << 23);

    /// Returns the value that keeps all states that `status` shows.
    pub const fn from_status(status: Gsts) -> Self {
        Self(status.0 & !ONE_SHOT)
    }

    /// Returns this value with the command `one`'s bit set.
    pub const fn with(self, one: Self) -> Self {
        Self(self.0 | one.0)
    }

    /// Returns this value with the command `one`'s bit clear.
    pub const fn without(self, one: Self) -> Self {
        Self(self.0 & !one.0)
    }

    /// Returns the value to write to the register.
    pub const fn raw(self) -> u32 {
        self.0
    }
}

/// The value of `GSTS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Gsts(u32);

impl Gsts {
    /// Creates it from the value read from the register.
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    /// Returns the value read from the register.
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// Returns whether every bit of `command` is set in the status (the bits have the same
    /// positions in both registers).
    ///
    /// For TE, SRTP, QIE, IRE, SIRTP and CFI, hardware has then carried out the command. For WBF, the flush is
    /// complete when its bit is clear again.
    pub const fn has_taken_effect(self, command: Gcmd) -> bool {
        self.0 & command.0 == command.0
    }

    /// Returns whether DMA is translated (TES).
    pub const fn translation_enabled(self) -> bool {
        self.has_taken_effect(Gcmd::TRANSLATION)
    }

    /// Returns whether a root table has been set (RTPS).
    pub const fn root_table_set(self) -> bool {
        self.has_taken_effect(Gcmd::SET_ROOT_TABLE)
    }

    /// Returns whether a write buffer flush is in progress (WBFS).
    pub const fn write_buffer_flush_pending(self) -> bool {
        self.has_taken_effect(Gcmd::FLUSH_WRITE_BUFFER)
    }

    /// Returns whether the invalidation queue is on (QIES).
    pub const fn queue_enabled(self) -> bool {
        self.has_taken_effect(Gcmd::QUEUE)
    }

    /// Returns whether interrupts are remapped (IRES).
    pub const fn interrupt_remapping_enabled(self) -> bool {
        self.has_taken_effect(Gcmd::INTERRUPT_REMAPPING)
    }

    /// Returns whether interrupt requests in compatibility format pass (CFIS).
    pub const fn compatibility_format_passes(self) -> bool {
        self.has_taken_effect(Gcmd::COMPATIBILITY_FORMAT)
    }
}

/// The value of `FSTS`. Writing 1 to an error bit clears it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Fsts(u32);

impl Fsts {
    /// PFO: a fault found no free record; later faults are lost until it is cleared.
    pub const OVERFLOW: Self = Self(1 << 0);
    /// IQE: the queue holds a descriptor that hardware refuses; fetching has stopped.
    pub const QUEUE_ERROR: Self = Self(1 << 4);
    /// ICE: a device sent an invalid completion for an invalidation.
    pub const COMPLETION_ERROR: Self = Self(1 << 5);
    /// ITE: a device did not answer a device-TLB invalidation in time.
    pub const TIME_OUT: Self = Self(1 << 6);

    /// Creates it from the value read from the register.
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    /// Returns the value read; for a constant, the value to write to clear it.
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// Returns whether all of `other`'s bits are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns whether one of the three invalidation queue errors is set.
    pub const fn has_queue_fault(self) -> bool {
        self.0 & (Self::QUEUE_ERROR.0 | Self::COMPLETION_ERROR.0 | Self::TIME_OUT.0) != 0
    }

    /// Returns whether at least one fault record is filled (PPF). The bit is read-only and clears
    /// with the last record.
    pub const fn has_fault_record(self) -> bool {
        self.0 & 0b10 != 0
    }

    /// Returns the index of the first filled record (FRI). It is valid while
    /// [`has_fault_record`](Self::has_fault_record) returns true.
    pub const fn first_fault_record(self) -> u32 {
        (self.0 >> 8) & 0xff
    }
}
