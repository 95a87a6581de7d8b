// SPDX-License-Identifier: GPL-2.0

//! What happens on unmap: the unit's IOTLB is invalidated for the range, by a fast path.
//!
//! The unmap clears the page-table entries. In strict mode `iotlb_sync` then calls
//! [`Unit::invalidate_range`]. That call returns when the unit has dropped what it cached of the
//! range, so that the memory can be reused. In lazy mode `flush_iotlb_all` does the same later, for
//! all addresses. If the domain has devices behind several units, the call has two steps: see
//! `begun.rs`.
//!
//! One IOTLB invalidation covers the range: a page-selective one if the unit supports a block that
//! is large enough, aligned to its size; else a domain-selective one. If page tables were retired,
//! the invalidation also drops cached paging-structure entries.
//!
//! The fast path serves nearly every unmap: the unit is enabled, and its queue has room. The fast
//! path stores the descriptor and a wait descriptor, moves the tail, and checks once whether
//! hardware has completed both before it starts to poll. Every other case takes the slow path
//! through [`Unit::invalidate`].

use super::queue::Queue;
use crate::unit::Unit;
use kernel::prelude::*;
use kernel_ext::clock;
use vtd_core::concurrent::queue::InvalidationQueue;
use vtd_core::invalidation::{CacheTag, InvalidationRange};
use vtd_core::spec::address::DomainId;
use vtd_core::spec::invalidation::Invalidation;

impl Unit {
    /// Invalidates what the unit has cached of `range` in the domain `id`, and waits until hardware
    /// has confirmed it. Every unmap in strict mode calls this. If hardware does not confirm it,
    /// the unit has failed when this returns, and every requester behind it is blocked; see
    /// [`Self::invalidate`].
    ///
    /// # Context
    ///
    /// Any context.
    #[inline]
    pub(crate) fn invalidate_range(&self, id: DomainId, range: InvalidationRange) {
        if !self.invalidate_range_fast(id, range) {
            self.invalidate_range_slow(CacheTag::SecondStage(id), range);
        }
    }

    /// Submits one descriptor and waits for it. Returns false, without having submitted anything,
    /// if the unit has no queue, is not enabled, or has no room in its queue.
    #[inline(always)]
    fn invalidate_range_fast(&self, id: DomainId, range: InvalidationRange) -> bool {
        let scope = self.invalidator.range_invalidator.scope(id, range);
        let words = self.invalidator.encoder.encode(Invalidation::Iotlb(scope));
        let count = || self.stats.count_iotlb(scope);
        let Some((queue, end)) = self.try_submit(&words, count) else {
            return false;
        };
        let _ = self.wait_for(queue, end);
        true
    }

    /// Submits one descriptor, if the unit has a queue, is enabled, and has room in its queue.
    /// Never waits for hardware. Returns what [`Self::wait_for`] waits for.
    #[inline(always)]
    pub(super) fn try_submit(
        &self,
        words: &[u64; 2],
        count: impl FnOnce(),
    ) -> Option<(&Queue, u32)> {
        let queue = self.invalidator.queue.as_deref()?;
        if !self.state.is_enabled() {
            return None;
        }
        let end = queue.try_submit(&self.regs, words, count)?;
        Some((queue, end))
    }

    /// Waits until hardware has completed what was submitted up to `end`.
    ///
    /// # Errors
    ///
    /// [`EIO`]: the unit has failed, and every requester behind it is blocked.
    #[inline(always)]
    pub(super) fn wait_for(&self, queue: &Queue, end: u32) -> Result {
        if queue.has_finished(end) {
            self.stats.waits.count_immediate();
            return Ok(());
        }
        self.wait_longer_for(queue, end)
    }

    /// Waits for an invalidation that was not complete at the first check.
    #[inline(never)]
    fn wait_longer_for(&self, queue: &Queue, end: u32) -> Result {
        let start = clock::now_ns();
        let done = queue.wait_for(&self.regs, end);
        self.stats.waits.count_since(start);
        done.map_err(|failure| {
            self.fail(&failure);
            EIO
        })
    }

    /// Invalidates the range when nothing could be submitted without waiting.
    // Given what the scope is chosen from: the fast path would have to store the scope in memory.
    #[cold]
    #[inline(never)]
    pub(super) fn invalidate_range_slow(&self, tag: CacheTag, range: InvalidationRange) {
        if let Some(queue) = self.invalidator.queue.as_deref() {
            return self.invalidate_with_device_tlbs(queue, tag, range);
        }
        let invalidation = self.invalidator.range_invalidator.invalidation(tag, range);
        // After an error every requester is blocked, so the caller can continue.
        let _ = self.invalidate(&[invalidation]);
    }
}
