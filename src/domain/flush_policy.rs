// SPDX-License-Identifier: GPL-2.0

//! Strict or lazy: whether what was unmapped is flushed before its memory is reused.
//!
//! The core decides when it flushes, and marks an unmap that it will not flush at once as queued.
//! That mark is the one place where every way to lazy flushing shows, so it is here that lazy
//! flushing is announced, and refused to devices that are not trusted.

use core::sync::atomic::{AtomicBool, Ordering};
use kernel_ext::device::Name;
use kernel_ext::{log_warn, taint};

/// What the log says of lazy flushing.
pub(crate) const LAZY_COST: &str =
    "a device can still reach a page until the next flush (by a timer of 10 ms, later on a busy \
     machine, or 255 unmaps by one CPU) after the page was unmapped and reused: faster for \
     scatter-gather, not full isolation";

/// How one domain flushes.
pub(super) struct FlushPolicy {
    strict_only: AtomicBool,
    announced: AtomicBool,
    /// Whether the log said for all devices at load what lazy flushing costs.
    announced_at_load: bool,
}

impl FlushPolicy {
    /// As the core says. `announced_at_load`: the log has said for all devices what lazy flushing costs.
    pub(super) fn new(announced_at_load: bool) -> Self {
        FlushPolicy {
            strict_only: AtomicBool::new(false),
            announced: AtomicBool::new(false),
            announced_at_load,
        }
    }

    /// From now on strict, whatever the core says: an untrusted device has joined.
    pub(super) fn stay_strict(&self) {
        self.strict_only.store(true, Ordering::Relaxed)
    }

    /// Whether flushes have been deferred.
    pub(super) fn is_lazy(&self) -> bool {
        self.announced.load(Ordering::Relaxed) && !self.strict_only.load(Ordering::Relaxed)
    }

    /// Asked for each unmap that the core queues: whether it must be flushed at once all the
    /// same. The first one is announced. Any context.
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
