// SPDX-License-Identifier: GPL-2.0

//! Unmaps whose flush the core defers, and that flush.

use super::flush_list;
use super::flush_policy::Deferred;
use super::holding::{Confirmed, MustFlush};
use super::paging::DomainInner;
use core::pin::Pin;
use kernel_ext::iommu::{Gather, Held};
use kernel_ext::log_emerg;
use kernel_ext::pages::PAGE_SIZE;
use vtd_tables::DomainTables;

impl DomainInner {
    /// Unmaps a range whose flush the core defers, and returns the number of bytes. The memory is
    /// held until that flush, or invalidated before this returns.
    ///
    /// # Context
    ///
    /// Any context.
    #[inline(never)]
    pub(super) fn unmap_deferred(
        &self,
        range: Held<'_, DomainTables>,
        mut gather: Pin<&mut Gather>,
        after: Deferred,
    ) -> u64 {
        let iova = range.iova();
        let leaf = DomainTables::mapped_leaf(&range);
        let (Some(leaf), Deferred::Hold) = (leaf, after) else {
            return self.unmap_several(range, gather, after);
        };
        let bytes = DomainTables::unmap(range, gather.as_mut());
        // Only now that the entry is cleared: the next flush releases what is recorded.
        let kept = if leaf.bytes == bytes {
            self.holding.keep(core::slice::from_ref(&leaf))
        } else {
            Err(MustFlush::Other)
        };
        if let Err(why) = kept {
            self.flush_now(iova, bytes, gather.has_tables(), why);
        }
        bytes
    }

    /// Does the same if the range is not one leaf, or if the domain is strict.
    #[cold]
    #[inline(never)]
    fn unmap_several(
        &self,
        range: Held<'_, DomainTables>,
        mut gather: Pin<&mut Gather>,
        after: Deferred,
    ) -> u64 {
        let iova = range.iova();
        let memory = match after {
            Deferred::Hold => DomainTables::mapped_memory(&range),
            Deferred::FlushNow => None,
        };
        let bytes = DomainTables::unmap(range, gather.as_mut());
        let kept = match &memory {
            Some(memory) if memory.bytes() == bytes => self.holding.keep(memory.runs()),
            _ => Err(MustFlush::Long),
        };
        match (kept, after) {
            (Ok(()), _) => {}
            (Err(why), Deferred::Hold) => self.flush_now(iova, bytes, gather.has_tables(), why),
            (Err(_), Deferred::FlushNow) => {
                self.flush_now(iova, bytes, gather.has_tables(), MustFlush::Strict)
            }
        }
        bytes
    }

    /// Invalidates an unmapped range that is not held. The core flushes later, too, and delays the
    /// reuse of the addresses until then.
    #[inline(never)]
    fn flush_now(&self, iova: u64, bytes: u64, tables: bool, why: MustFlush) {
        self.holding.count_flushed(why);
        if why == MustFlush::Full {
            self.flush_all()
        } else {
            self.flush_range(iova, bytes, tables)
        }
    }

    fn flush_range(&self, iova: u64, bytes: u64, tables: bool) {
        if let Some(range) = flush_list::range_of(iova, bytes, tables) {
            self.attachments.flush_list.invalidate_range(range);
        }
    }

    /// Invalidates all translations of the domain, and releases the memory that was held until now.
    ///
    /// # Context
    ///
    /// Any context but NMI. No raw spin lock may be held.
    pub(super) fn flush_all(&self) {
        let lost = self
            .holding
            .flush(|| Confirmed::by_flush(&self.attachments));
        self.report_lost(lost);
    }

    /// Keeps held memory for good, because a unit that the domain leaves has not confirmed that it
    /// has dropped its translations.
    #[cold]
    pub(super) fn lose_held(&self) {
        self.report_lost(self.holding.lose());
    }

    fn report_lost(&self, pages: Option<u64>) {
        if let Some(pages @ 1..) = pages {
            log_emerg!(
                "{}: {} KiB that the device may still reach are kept from use for good, and so is \
                 what is unmapped from now on: power the machine off",
                self.allocated_for,
                pages * (PAGE_SIZE as u64 / 1024),
            );
        }
    }
}
