// SPDX-License-Identifier: GPL-2.0

//! Strict or lazy flushing: whether an unmapped range is invalidated before its memory is reused.
//!
//! The IOMMU core decides when it flushes, and sets `gather.queued` in an unmap whose flush it
//! defers. This mark is the only place where the driver can see that the core defers a flush,
//! however that was enabled. So lazy flushing is announced here, and overridden here for untrusted
//! devices.

use core::sync::atomic::{AtomicBool, Ordering};
use kernel_ext::device::Name;
use kernel_ext::{log_warn, taint};

/// The text with which the log explains lazy flushing.
pub(crate) const LAZY_COST: &str =
    "a device can still reach a page until the next flush (by a timer of 10 ms, later on a busy \
     machine, or 255 unmaps by one CPU) after the page was unmapped and reused: faster for \
     scatter-gather, not full isolation";

/// The flush policy of one domain.
pub(super) struct FlushPolicy {
    strict_only: AtomicBool,
    announced: AtomicBool,
    /// Whether the log explained lazy flushing at load, for all devices.
    announced_at_load: bool,
}

impl FlushPolicy {
    /// Creates a policy that follows the core. `announced_at_load`: the log explained lazy flushing
    /// at load, for all devices.
    pub(super) fn new(announced_at_load: bool) -> Self {
        FlushPolicy {
            strict_only: AtomicBool::new(false),
            announced: AtomicBool::new(false),
            announced_at_load,
        }
    }

    /// Makes the domain strict from now on, whatever the core chooses: an untrusted device is being
    /// attached.
    pub(super) fn stay_strict(&self) {
        self.strict_only.store(true, Ordering::Relaxed)
    }

    /// Returns whether flushes are deferred: the core has done so, and no device is untrusted.
    pub(super) fn is_lazy(&self) -> bool {
        self.announced.load(Ordering::Relaxed) && !self.strict_only.load(Ordering::Relaxed)
    }

    /// Returns whether an unmap whose flush the core defers must be flushed immediately instead.
    /// Called for each such unmap; the first one is announced in the log.
    ///
    /// # Context
    ///
    /// Any context.
    #[inline]
    pub(super) fn must_be_strict(&self, device: &Name) -> bool {
        if !self.announced.load(Ordering::Relaxed) {
            self.announce(device);
        }
        self.strict_only.load(Ordering::Relaxed)
    }

    #[cold]
    #[inline(never)]
    fn announce(&self, device: &Name) {
        if self.announced.swap(true, Ordering::Relaxed) {
            return;
        }
        if self.strict_only.load(Ordering::Relaxed) {
            log_warn!(
                "{device}: deferred flushing was chosen, but the device is not trusted: it stays \
                 strict"
            );
        } else if !self.announced_at_load {
            log_warn!("{device}: flushes are deferred from now on: {LAZY_COST}");
            taint::add_taint_user();
        }
    }
}
