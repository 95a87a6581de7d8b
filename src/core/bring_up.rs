// SPDX-License-Identifier: GPL-2.0

//! The order in which units are brought up, at load and after a suspend.
//!
//! All invalidation queues are enabled before the first unit gets its root table and invalidates
//! its caches: on some chipsets (X58) an invalidation does not complete while the queue of another
//! unit is disabled. A unit with a write buffer flushes it before it takes the root table.
//! Afterwards it invalidates what it cached from an older root table, unless setting the root table
//! does so (`CAP.ESRTPS`, VT-d 6.6). Then it completes a wait all the same: a queue that does not work
//! is noticed before devices depend on it, and the kernel that follows after a crash can disable it.
//! Hardware disables a queue only if the last descriptor was a wait (VT-d 6.5.2).

use crate::spec::capability::Capability;

/// One step for one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BringUpStep {
    /// Enable its invalidation queue, if it uses one.
    EnableQueue,
    /// Flush its write buffer (`GCMD.WBF`).
    FlushWriteBuffer,
    /// Set its root table (`GCMD.SRTP`).
    SetRootTable,
    /// Invalidate all context entries, then all translations.
    InvalidateAll,
    /// Complete a wait in its invalidation queue, if it uses one.
    CompleteWait,
}

/// Returns the steps for all `units` in their order; `cap` returns the capabilities of a unit.
pub fn steps<T: Copy>(
    units: impl Iterator<Item = T> + Clone,
    cap: impl Fn(T) -> Capability,
) -> impl Iterator<Item = (T, BringUpStep)> {
    let queues = units.clone().map(|unit| (unit, BringUpStep::EnableQueue));
    let tables =
        units.flat_map(move |unit| steps_after_queues(cap(unit)).map(move |step| (unit, step)));
    queues.chain(tables)
}

/// Returns the steps for one unit after all queues are enabled.
fn steps_after_queues(cap: Capability) -> impl Iterator<Item = BringUpStep> {
    [
        cap.needs_write_buffer_flush()
            .then_some(BringUpStep::FlushWriteBuffer),
        Some(BringUpStep::SetRootTable),
        Some(if cap.root_table_invalidates() {
            BringUpStep::CompleteWait
        } else {
            BringUpStep::InvalidateAll
        }),
    ]
    .into_iter()
    .flatten()
}
