// SPDX-License-Identifier: GPL-2.0

//! Held memory is released when the kernel has little left: all domains are flushed.

use super::paging::DomainInner;
use super::registry::Domains;
use kernel_ext::shrinker::Shrink;

impl Shrink for Domains<DomainInner> {
    fn count(&self) -> usize {
        let held = |domain: &DomainInner| domain.holding.releasable() as usize;
        self.try_sum(held).unwrap_or(0)
    }

    fn scan(&self) -> Option<usize> {
        let released = self.try_sum(|domain| {
            let before = domain.holding.releasable();
            if before == 0 {
                return 0;
            }
            domain.holding.count_reclaim();
            domain.flush_all();
            before.saturating_sub(domain.holding.pages()) as usize
        })?;
        (released != 0).then_some(released)
    }
}
