// SPDX-License-Identifier: GPL-2.0

//! Register-based invalidation: the values of `CCMD`, `IVA` and `IOTLB` (VT-d
//! 6.5.1, 11.4.5, 11.4.8).
//!
//! Units without a queue use these commands, one at a time: software writes a command with the busy
//! bit set, and hardware clears the bit when the invalidation is complete.

use super::bits::{at, bit, field, flag, one};
use super::invalidation::Invalidation;
use super::scope::{ContextScope, Drain, Granularity, IotlbScope};

/// ICC and IVT: the command is in progress.
const BUSY: u32 = 63;

/// An invalidation as values of registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterCommand {
    /// A command of `CCMD`.
    Context(ContextCommand),
    /// A command of `IVA` and `IOTLB`.
    Iotlb(IotlbCommand),
}

impl RegisterCommand {
    /// Creates the command that invalidates `what` and drains `drain`, or returns `None` if only
    /// the queue can invalidate it.
    pub const fn new(what: Invalidation, drain: Drain) -> Option<Self> {
        match what {
            Invalidation::Context(scope) => Some(Self::Context(ContextCommand::new(scope))),
            Invalidation::Iotlb(scope) => Some(Self::Iotlb(IotlbCommand::new(scope, drain))),
            Invalidation::Pasid(_)
            | Invalidation::PasidIotlb(_)
            | Invalidation::DeviceTlb(_)
            | Invalidation::InterruptEntries(_) => None,
        }
    }
}

/// A context-cache invalidation as a value of `CCMD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct ContextCommand(u64);

impl ContextCommand {
    /// Creates the command that invalidates `scope`.
    pub const fn new(scope: ContextScope) -> Self {
        let operands = match scope {
            ContextScope::Global => 0,
            ContextScope::Domain(domain) => domain.raw() as u64,
            ContextScope::Device {
                domain,
                source,
                functions,
            } => at(functions.raw() as u64, 32) | at(source.raw() as u64, 16) | domain.raw() as u64,
        };
        Self(one(BUSY) | at(scope.granularity().code(), 61) | operands)
    }

    /// Returns the value to write to the register.
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// Returns whether a value read from `CCMD` shows a command in progress.
    pub const fn is_busy(ccmd: u64) -> bool {
        bit(ccmd, BUSY)
    }

    /// Returns CAIG, the granularity that hardware performed, from a `CCMD` that is no longer busy,
    /// or `None` if hardware refused the command.
    pub const fn actual_granularity(ccmd: u64) -> Option<Granularity> {
        Granularity::from_code(field(ccmd, 60, 59))
    }
}

/// An IOTLB invalidation as values of `IVA` and `IOTLB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IotlbCommand {
    address: Option<u64>,
    command: u64,
}

impl IotlbCommand {
    /// Creates the command that invalidates `scope`.
    pub const fn new(scope: IotlbScope, drain: Drain) -> Self {
        let (domain, address) = match scope {
            IotlbScope::Global => (0, None),
            IotlbScope::Domain(domain) => (domain.raw(), None),
            IotlbScope::Pages {
                domain,
                block,
                leaves_only,
            } => (domain.raw(), Some(block.operand(leaves_only))),
        };
        Self {
            address,
            command: one(BUSY)
                | at(scope.granularity().code(), 60)
                | flag(drain.reads, 49)
                | flag(drain.writes, 48)
                | at(domain as u64, 32),
        }
    }

    /// Returns the value to write to `IVA` first, if any.
    pub const fn address(self) -> Option<u64> {
        self.address
    }

    /// Returns the value to write to `IOTLB` afterwards.
    pub const fn command(self) -> u64 {
        self.command
    }

    /// Returns whether a value read from `IOTLB` shows a command in progress.
    pub const fn is_busy(iotlb: u64) -> bool {
        bit(iotlb, BUSY)
    }

    /// Returns IAIG, the granularity that hardware performed, from an `IOTLB` that is no longer
    /// busy, or `None` if hardware refused the command.
    pub const fn actual_granularity(iotlb: u64) -> Option<Granularity> {
        Granularity::from_code(field(iotlb, 58, 57))
    }
}
