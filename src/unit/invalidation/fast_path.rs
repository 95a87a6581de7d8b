// SPDX-License-Identifier: GPL-2.0

//! What happens on unmap: range invalidation, and its fast path.
//!
//! [`Unit::invalidate_range`] makes the unit drop its cached translations of an unmapped range and
//! waits until it has. One IOTLB invalidation covers the range: page-selective if the unit supports
//! an aligned block that is large enough, else domain-selective. It also drops cached
//! paging-structure entries if table pages were freed.
//!
//! The fast path serves nearly every unmap. The unit is enabled, its queue has room and one
//! descriptor suffices, so it takes only a store of that descriptor and of a wait descriptor, and
//! one check whether the wait is over. Everything else takes the slow path through
//! [`Unit::invalidate`].

use super::queue::Queue;
use crate::unit::Unit;
use kernel_ext::clock;
use vtd_core::invalidation::{cover_range_with_one, Invalidation, InvalidationRange};
use vtd_core::spec::address::DomainId;

impl Unit {
    /// Invalidates the cached translations of `range` in the domain `id`, and waits until hardware
    /// has confirmed it. Every unmap calls this. If the unit does not confirm it, it has failed
    /// when this returns, and every requester behind it is blocked; see [`Self::invalidate`]. Any
    /// context.
    #[inline]
    pub(crate) fn invalidate_range(&self, id: DomainId, range: InvalidationRange) {
        let (words, pages) = self.invalidator.range_invalidator.encode(id, range);
        if !self.invalidate_range_fast(words, pages) {
            self.invalidate_range_slow(id, range);
        }
    }

    /// Submits one descriptor and waits for it. Returns false, without having submitted anything,
    /// if the unit has no queue, is not enabled, or has no room in its queue.
    fn invalidate_range_fast(&self, words: [u64; 2], pages: bool) -> bool {
        let Some(queue) = self.invalidator.queue.as_deref() else {
            return false;
        };
        if !self.state.is_enabled() {
            return false;
        }
        let count = || self.stats.count_range_invalidation(pages);
        let Some(end) = queue.try_submit(&self.regs, &words, count) else {
            return false;
        };
        if queue.has_finished(end) {
            self.stats.waits.count_immediate();
        } else {
            self.wait_for(queue, end);
        }
        true
    }

    /// Waits for an invalidation that was not complete at the first check.
    #[inline(never)]
    fn wait_for(&self, queue: &Queue, end: u32) {
        let start = clock::now_ns();
        let done = queue.wait_for(&self.regs, end);
        self.stats.waits.count_since(start);
        if let Err(failure) = done {
            self.fail(&failure);
        }
    }

    /// Invalidates the range where [`Self::invalidate_range_fast`] cannot.
    #[cold]
    #[inline(never)]
    fn invalidate_range_slow(&self, id: DomainId, range: InvalidationRange) {
        let scope = cover_range_with_one(self.cap, id, range);
        // After an error every requester is blocked, so the caller can go on.
        let _ = self.invalidate(&[Invalidation::Iotlb(scope)]);
    }
}
