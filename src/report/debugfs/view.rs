// SPDX-License-Identifier: GPL-2.0

//! What a file in debugfs shows, part by part.

use crate::machine::Machine;
use crate::unit::Unit;
use core::fmt;
use kernel::sync::Arc;
use kernel_ext::debugfs::{SeqFile, Text};

/// Writes one part of a file, see [`SeqFile::show_chunk`].
pub(super) type ShowPart<T> = fn(&T, u64, &mut u64, &mut Text<'_>) -> Option<u64>;

/// What a file shows: something, by a function.
pub(super) struct View<T>(pub(super) T, pub(super) ShowPart<T>);

impl<T: Send + Sync + 'static> SeqFile for View<T> {
    fn show_chunk(&self, number: u64, note: &mut u64, to: &mut Text<'_>) -> Option<u64> {
        (self.1)(&self.0, number, note, to)
    }
}

/// One unit of the driver.
pub(super) struct UnitView {
    pub(super) machine: Arc<Machine>,
    pub(super) unit: Arc<Unit>,
}

/// Ends a part that was written to its end, or not at all.
pub(super) fn part_done(_written: fmt::Result, next: Option<u64>) -> Option<u64> {
    // Writing to a text never fails: what does not fit is asked for again.
    next
}
