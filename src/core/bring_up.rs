// SPDX-License-Identifier: GPL-2.0

//! In which order units are brought up, at load and after a sleep.
//!
//! All queues are on before the first unit is given its tables and invalidates: on some chipsets
//! (X58) an invalidation does not end while another unit's queue is off. A unit that buffers
//! writes has them flushed before it takes the root table, and drops what it cached of an old one
//! afterwards, unless it does so by itself (`CAP.ESRTPS`, VT-d 6.6).

use crate::spec::capability::Capability;

/// One step for one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BringUpStep {
    /// Turn its invalidation queue on, if it is to use one.
    EnableQueue,
    /// Flush its write buffer (`GCMD.WBF`).
    FlushWriteBuffer,
    /// Give it the root table (`GCMD.SRTP`).
    SetRootTable,
    /// Invalidate all context entries, then all translations.
    InvalidateAll,
}

/// The steps for all `units`, of which `cap` tells the capabilities, in their order.
pub fn steps<T: Copy>(
    units: impl Iterator<Item = T> + Clone,
    cap: impl Fn(T) -> Capability,
) -> impl Iterator<Item = (T, BringUpStep)> {
    let queues = units.clone().map(|unit| (unit, BringUpStep::EnableQueue));
    let tables =
        units.flat_map(move |unit| steps_after_queues(cap(unit)).map(move |step| (unit, step)));
    queues.chain(tables)
}

/// The steps for one unit that come after all queues are on.
fn steps_after_queues(cap: Capability) -> impl Iterator<Item = BringUpStep> {
    [
        cap.needs_write_buffer_flush()
            .then_some(BringUpStep::FlushWriteBuffer),
        Some(BringUpStep::SetRootTable),
        (!cap.root_table_invalidates()).then_some(BringUpStep::InvalidateAll),
    ]
    .into_iter()
    .flatten()
}
