// SPDX-License-Identifier: GPL-2.0

//! The global command and status registers and the fault status register
//! (VT-d 11.4.4, 11.4.9).

/// Bits of `GCMD` that are commands rather than states: SRTP, SFL, WBF and SIRTP.
const ONE_SHOT: u32 = 0x6900_0000;

/// A value for `GCMD`.
///
/// Hardware takes one command per write, and a state bit left out is a state
/// turned off: build every value from [`Gcmd::from_status`].
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

    /// The value that changes nothing of what `status` shows.
    pub const fn from_status(status: Gsts) -> Self {
        Self(status.0 & !ONE_SHOT)
    }

    /// This value with the command `one`'s bit set.
    pub const fn with(self, one: Self) -> Self {
        Self(self.0 | one.0)
    }

    /// This value with the command `one`'s bit clear.
    pub const fn without(self, one: Self) -> Self {
        Self(self.0 & !one.0)
    }

    /// What to write to the register.
    pub const fn raw(self) -> u32 {
        self.0
    }
}

/// What `GSTS` said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Gsts(u32);

impl Gsts {
    /// Takes what was read from the register.
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    /// What was read from the register.
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// Whether every bit of `command` shows in the status (each is the same bit in both).
    ///
    /// For TE, SRTP, QIE and IRE, that is when the command has been carried out; for
    /// WBF, the flush is done when its bit is clear again.
    pub const fn has_taken_effect(self, command: Gcmd) -> bool {
        self.0 & command.0 == command.0
    }

    /// TES: DMA is translated.
    pub const fn translation_enabled(self) -> bool {
        self.has_taken_effect(Gcmd::TRANSLATION)
    }

    /// RTPS: a root table has been set.
    pub const fn root_table_set(self) -> bool {
        self.has_taken_effect(Gcmd::SET_ROOT_TABLE)
    }

    /// WBFS: a write buffer flush is in progress.
    pub const fn write_buffer_flush_pending(self) -> bool {
        self.has_taken_effect(Gcmd::FLUSH_WRITE_BUFFER)
    }

    /// QIES: the invalidation queue is on.
    pub const fn queue_enabled(self) -> bool {
        self.has_taken_effect(Gcmd::QUEUE)
    }

    /// IRES: interrupts are remapped.
    pub const fn interrupt_remapping_enabled(self) -> bool {
        self.has_taken_effect(Gcmd::INTERRUPT_REMAPPING)
    }
}

/// What `FSTS` said. Its error bits are cleared by writing 1 to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Fsts(u32);

impl Fsts {
    /// PFO: a fault found no free record; later faults are lost until it is cleared.
    pub const OVERFLOW: Self = Self(1 << 0);
    /// IQE: the queue holds a descriptor that hardware refuses; fetching has stopped.
    pub const QUEUE_ERROR: Self = Self(1 << 4);
    /// ICE: a device answered an invalidation wrongly.
    pub const COMPLETION_ERROR: Self = Self(1 << 5);
    /// ITE: a device did not answer a device-TLB invalidation in time.
    pub const TIME_OUT: Self = Self(1 << 6);

    /// Takes what was read from the register.
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    /// What was read; of a constant, what to write to clear it.
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// Whether all of `other`'s bits are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether one of the three invalidation queue errors is set.
    pub const fn has_queue_fault(self) -> bool {
        self.0 & (Self::QUEUE_ERROR.0 | Self::COMPLETION_ERROR.0 | Self::TIME_OUT.0) != 0
    }

    /// PPF: at least one fault record is filled (read-only; clears with the last record).
    pub const fn has_fault_record(self) -> bool {
        self.0 & 0b10 != 0
    }

    /// FRI: the index of the first filled record, valid while
    /// [`has_fault_record`](Self::has_fault_record).
    pub const fn first_fault_record(self) -> u32 {
        (self.0 >> 8) & 0xff
    }
}
