// SPDX-License-Identifier: GPL-2.0

//! The state of a device that was cut off.

use core::sync::atomic::AtomicBool;

/// What was done with a device that was cut off. The lock of its state orders the changes.
#[derive(Default)]
pub(super) struct CutOff {
    /// Its TLB and its bus mastering are off, and it was reported.
    pub(super) is_complete: AtomicBool,
    /// Its configuration space has a mark that a reset removes.
    pub(super) is_marked: AtomicBool,
}
