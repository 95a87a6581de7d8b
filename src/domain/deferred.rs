// SPDX-License-Identifier: GPL-2.0

//! Unmaps whose flush the core defers, and that flush.

use super::flush_policy::Deferred;
use super::holding::{Confirmed, MustFlush, MAX_BYTES};
use super::paging::DomainInner;
use core::pin::Pin;
use kernel_ext::iommu::{Gather, Held};
use kernel_ext::log_emerg;
use kernel_ext::pages::PAGE_SIZE;
use vtd_core::pgtable::Format;
use vtd_tables::DomainTables;

impl DomainInner {
    /// Unmaps a range whose flush the core defers, and holds its memory until then. Returns the
    /// number of bytes. Called if the domain does not [follow the
    /// core](super::flush_policy::FlushPolicy::follows_core).
    ///
    /// # Errors
    ///
    /// The range, if the caller is to unmap it. If it must not wait for that flush, `gather` tells
    /// the core to invalidate it before its unmap returns.
    ///
    /// # Context
    ///
    /// Any context.
    #[inline(always)]
    pub(super) fn unmap_held<'a, F: Format, const COHERENT: bool>(
        &self,
        range: Held<'a, DomainTables<F, COHERENT>>,
        gather: Pin<&mut Gather>,
    ) -> Result<u64, Held<'a, DomainTables<F, COHERENT>>> {
        match self.flushing.after_unmap(&self.allocated_for) {
            Some(Deferred::Hold) if range.len() > MAX_BYTES => {
                self.must_flush(gather, MustFlush::Long);
                return Err(range);
            }
            Some(Deferred::Hold) => {}
            Some(Deferred::FlushNow) => {
                self.must_flush(gather, MustFlush::Strict);
                return Err(range);
            }
            None => return Err(range),
        }
        let page = match DomainTables::unmap_page(range) {
            Ok(page) => page,
            Err(range) => return Ok(self.unmap_pages(range, gather)),
        };
        // Only now that the entry is cleared: the next flush releases what is recorded.
        if let Err(why) = self.holding.keep_page(page) {
            self.must_flush(gather, why);
        }
        Ok(PAGE_SIZE as u64)
    }

    /// Does the same with a range that is not one page.
    #[inline(never)]
    fn unmap_pages<F: Format, const COHERENT: bool>(
        &self,
        range: Held<'_, DomainTables<F, COHERENT>>,
        mut gather: Pin<&mut Gather>,
    ) -> u64 {
        let memory = DomainTables::mapped_memory(&range);
        let bytes = DomainTables::unmap(range, gather.as_mut());
        let kept = match &memory {
            Some(memory) if memory.bytes() == bytes && bytes <= MAX_BYTES => {
                self.holding.keep(memory.runs())
            }
            _ => Err(MustFlush::Long),
        };
        if let Err(why) = kept {
            self.must_flush(gather, why);
        }
        bytes
    }

    /// Has an unmapped range that is not held invalidated before its unmap returns.
    #[cold]
    #[inline(never)]
    fn must_flush(&self, gather: Pin<&mut Gather>, why: MustFlush) {
        self.holding.count_flushed(why);
        if why == MustFlush::Full {
            self.flush_all();
        } else {
            gather.flush_now();
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
                 what is unmapped from now on, unless one call unmaps more than {} KiB: power the \
                 machine off",
                self.allocated_for,
                pages * (PAGE_SIZE as u64 / 1024),
                MAX_BYTES / 1024,
            );
        }
    }
}
