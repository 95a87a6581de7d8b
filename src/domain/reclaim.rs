// SPDX-License-Identifier: GPL-2.0

//! Held memory is released when the kernel has little left: all domains are flushed.

use super::paging::DomainInner;
use super::registry::Domains;
use kernel_ext::shrinker::Shrink;

impl Shrink for Domains<DomainInner> {
    fn count(&self) -> usize {
        let held = |domain: &DomainInner| domain.holding.pages() as usize;
        self.try_sum(held).unwrap_or(0)
    }

    fn scan(&self) -> Option<usize> {
        self.try_sum(|domain| {
            let before = domain.holding.pages();
            if before != 0 {
                domain.flush_all();
            }
            before.saturating_sub(domain.holding.pages()) as usize
        })
    }
}
