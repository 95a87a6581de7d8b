// SPDX-License-Identifier: GPL-2.0

//! A parent domain for the message-signalled interrupts of PCI devices, whose messages name entries
//! of a remapping table.
//!
//! A device that is put under this domain ([`RemappedDevice`]) gets its own domain on top of it when
//! its driver allocates interrupts. This domain allocates vectors from the
//! vector domain below, and entries from its [`InterruptRemapping`]. An entry is absent until the
//! interrupt is activated. A change of the affinity changes the entry, not the device.
//!
//! The kernel's own remapping drivers free the old vector of a moved interrupt right after the
//! change. The function for that is not exported, so the old vector is freed when the first
//! interrupt has arrived at the new one, as without remapping.
//!
//! Chip and operations are constants, see [`crate::irq`].
//!
//! C headers: `include/linux/msi.h`, `include/linux/irqdomain.h`.

mod chip;
mod device;
mod parent;
mod remapping;

pub use device::{leave_inherited_domain, RemappedDevice};
pub use parent::{x2apic_enabled, MsiParent};
pub use remapping::{InterruptRemapping, Message, Target};
