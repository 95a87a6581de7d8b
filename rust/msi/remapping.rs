// SPDX-License-Identifier: GPL-2.0

//! A table of interrupts that hardware looks up.

use crate::pci::PciDevice;
use kernel::prelude::*;

/// The processor and vector that an interrupt is delivered to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The vector.
    pub vector: u8,
    /// The APIC ID of the processor, or a set of processors.
    pub destination: u32,
    /// Whether the destination is a logical one.
    pub logical: bool,
}

/// The message that a device sends to raise an interrupt.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// The address that it writes to.
    pub address: u32,
    /// What it writes.
    pub data: u32,
}

/// A table of interrupts that hardware looks up.
pub trait InterruptRemapping: Send + Sync + 'static {
    /// The first part of the name of the domain.
    const NAME: &'static CStr;

    /// Returns a number that distinguishes it from other such tables; the domain is called
    /// `NAME-number`.
    fn number(&self) -> u32;

    /// Allocates `count` consecutive entries for interrupts of `device`, all absent. Returns the
    /// index of the first one.
    ///
    /// # Errors
    ///
    /// Any; nothing is allocated then.
    ///
    /// # Context
    ///
    /// Process context.
    fn allocate(&self, device: &PciDevice, count: u32) -> Result<u16>;

    /// Frees `count` entries from `first`. After it has returned, hardware does not use them.
    ///
    /// # Context
    ///
    /// Process context.
    fn free(&self, first: u16, count: u32);

    /// Returns the message that names the entry `first + number`, where `first` is what
    /// [`Self::allocate`] returned.
    fn message(&self, first: u16, number: u16) -> Message;

    /// Makes an entry present, or changes it, so that it delivers to `target`. After it has
    /// returned, hardware uses the new target.
    ///
    /// # Context
    ///
    /// Interrupts may be off and raw spin locks held; must not sleep.
    fn set_target(&self, index: u16, target: Target);

    /// Makes an entry absent. After it has returned, hardware does not use it.
    ///
    /// # Context
    ///
    /// As for [`Self::set_target`].
    fn clear(&self, index: u16);
}
