// SPDX-License-Identifier: GPL-2.0

//! The content of a file in debugfs, written chunk by chunk.

use crate::machine::Machine;
use crate::unit::Unit;
use core::fmt;
use kernel::sync::Arc;
use kernel_ext::debugfs::{SeqFile, Text};

/// A function that writes one chunk of a file, see [`SeqFile::show_chunk`].
pub(super) type ShowChunk<T> = fn(&T, u64, &mut u64, &mut Text<'_>) -> Option<u64>;

/// A file's content: an object, and the function that writes it.
pub(super) struct View<T>(pub(super) T, pub(super) ShowChunk<T>);

impl<T: Send + Sync + 'static> SeqFile for View<T> {
    fn show_chunk(&self, number: u64, note: &mut u64, to: &mut Text<'_>) -> Option<u64> {
        (self.1)(&self.0, number, note, to)
    }
}

/// One unit, with the machine that it is in.
pub(super) struct UnitView {
    pub(super) machine: Arc<Machine>,
    pub(super) unit: Arc<Unit>,
}

/// Returns unit number `index` of `machine`, if there is one.
pub(super) fn unit_at(machine: &Machine, index: u64) -> Option<&Unit> {
    let mut units = machine.units();
    Some(&units.nth(usize::try_from(index).ok()?)?.unit)
}

/// Returns `next`, the number of the next chunk, after a chunk was written.
pub(super) fn chunk_done(_written: fmt::Result, next: Option<u64>) -> Option<u64> {
    // A write to `Text` never fails: if the chunk does not fit, seq_file calls again for it.
    next
}
