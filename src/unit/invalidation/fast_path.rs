// SPDX-License-Identifier: GPL-2.0

//! Forgetting a range: the way of every unmap.
//!
//! Nearly always the unit serves, there is room in its queue and one descriptor does: that takes no
//! more than to write it and a wait, and a look. Everything else goes the way of all invalidations.

use super::queue::Queue;
use crate::unit::Unit;
use kernel_ext::clock;
use vtd_core::invalidation::{cover_range_with_one, Invalidation, InvalidationRange};
use vtd_core::spec::address::DomainId;

impl Unit {
    /// Makes hardware forget a range of the domain `id`, and waits until it has; the way of every
    /// unmap. A unit that fails has been closed when this returns, see [`Self::invalidate`]. Any
    /// context.
    #[inline]
    pub(crate) fn invalidate_range(&self, id: DomainId, range: InvalidationRange) {
        let (words, pages) = self.invalidator.range_invalidator.encode(id, range);
        if !self.invalidate_range_fast(words, pages) {
            self.invalidate_range_slow(id, range);
        }
    }

    /// Has one invalidation done if nothing stands in the way; whether it was.
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

    /// Waits for what takes a while.
    #[inline(never)]
    fn wait_for(&self, queue: &Queue, end: u32) {
        let start = clock::now_ns();
        let done = queue.wait_for(&self.regs, end);
        self.stats.waits.count_since(start);
        if let Err(failure) = done {
            self.fail(&failure);
        }
    }

    /// What [`Self::invalidate_range_fast`] does not do.
    #[cold]
    #[inline(never)]
    fn invalidate_range_slow(&self, id: DomainId, range: InvalidationRange) {
        let scope = cover_range_with_one(self.cap, id, range);
        // On an error every requester is blocked.
        let _ = self.invalidate(&[Invalidation::Iotlb(scope)]);
    }
}
