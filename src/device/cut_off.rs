// SPDX-License-Identifier: GPL-2.0

//! The state of a device that was cut off.

use core::sync::atomic::{AtomicBool, AtomicU32};

/// How often a reset brings a device back. Each time it is cut off again, all others behind its unit
/// wait for it, and a user may reset a device at will.
pub(super) const MAX_RESETS: u32 = 2;

/// What was done with a device that was cut off. The lock of its state orders the changes.
#[derive(Default)]
pub(super) struct CutOff {
    /// Its TLB and its bus mastering are off, and it was reported.
    pub(super) is_complete: AtomicBool,
    /// Its configuration space has a mark that a reset removes.
    pub(super) is_marked: AtomicBool,
    /// How often it was cut off.
    pub(super) times: AtomicU32,
}
