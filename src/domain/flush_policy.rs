// SPDX-License-Identifier: GPL-2.0

//! Strict or lazy flushing: whether an unmapped range is invalidated before its memory is reused.
//!
//! The IOMMU core decides when it flushes, and sets `gather.queued` in an unmap whose flush it
//! defers. This mark is the only place where the driver can see that the core defers a flush,
//! however that was enabled. So lazy flushing is announced here, and overridden here for untrusted
//! devices.

use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use kernel_ext::device::Name;
use kernel_ext::{hold, log_warn, taint};

/// What the user chose for flushes that are deferred.
#[derive(Clone, Copy)]
pub(crate) struct FlushChoice {
    /// Whether they were chosen for all trusted devices. The log explained them at load.
    pub(crate) lazy: bool,
    /// Whether unmapped memory is held until the flush.
    pub(crate) hold: bool,
}

impl FlushChoice {
    /// Returns the text with which the log explains what a deferred flush costs.
    pub(crate) fn cost(self) -> &'static str {
        if self.hold {
            "unmapped memory is held, so that it gets no other owner before the next flush (by a \
             timer of 10 ms, later on a busy machine, or 255 unmaps by one CPU). Until then a \
             device can still reach what the owner keeps there: not full isolation"
        } else {
            "a device can still reach a page until the next flush (by a timer of 10 ms, later on a \
             busy machine, or 255 unmaps by one CPU) after the page was unmapped and reused: \
             faster for scatter-gather, not full isolation"
        }
    }

    /// Taints the kernel if unmapped memory can be reused while a device still reaches it.
    pub(crate) fn taint(self) {
        if !self.hold {
            taint::add_taint_user();
        }
    }
}

/// Why a domain is strict, whatever the core chooses.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum StrictReason {
    /// It is not strict.
    None,
    /// A driver of an attached device does not tolerate that its memory is held.
    NotTolerated,
    /// An untrusted device is, or was, attached.
    Untrusted,
}

/// What must follow an unmap whose flush the core defers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Deferred {
    /// A flush before it returns.
    FlushNow,
    /// Its memory is held until the flush.
    Hold,
}

/// The flush policy of one domain.
pub(super) struct FlushPolicy {
    strict: AtomicU8,
    announced: AtomicBool,
    choice: FlushChoice,
}

impl FlushPolicy {
    /// Creates a policy that follows the core.
    pub(super) fn new(choice: FlushChoice) -> Self {
        let strict = if choice.hold && !hold::is_tolerated() {
            StrictReason::NotTolerated
        } else {
            StrictReason::None
        };
        FlushPolicy {
            strict: AtomicU8::new(strict as u8),
            announced: AtomicBool::new(false),
            choice,
        }
    }

    /// Makes the domain strict from now on, whatever the core chooses: such a device is being
    /// attached.
    pub(super) fn stay_strict(&self, reason: StrictReason) {
        if reason == StrictReason::NotTolerated && !self.choice.hold {
            return;
        }
        self.strict.fetch_max(reason as u8, Ordering::Relaxed);
    }

    /// Returns whether flushes are deferred: the core has done so, and the domain is not strict.
    pub(super) fn is_lazy(&self) -> bool {
        self.announced.load(Ordering::Relaxed) && !self.is_strict()
    }

    #[inline(always)]
    fn is_strict(&self) -> bool {
        self.strict.load(Ordering::Relaxed) != StrictReason::None as u8
    }

    /// Returns what must follow an unmap whose flush the core defers. [`None`]: nothing. Called for
    /// each such unmap; the first one is announced in the log.
    ///
    /// # Context
    ///
    /// Any context.
    #[inline]
    pub(super) fn after_unmap(&self, device: &Name) -> Option<Deferred> {
        if !self.announced.load(Ordering::Relaxed) {
            self.announce(device);
        }
        if self.is_strict() {
            Some(Deferred::FlushNow)
        } else {
            self.choice.hold.then_some(Deferred::Hold)
        }
    }

    #[cold]
    #[inline(never)]
    fn announce(&self, device: &Name) {
        if self.announced.swap(true, Ordering::Relaxed) {
            return;
        }
        let strict = self.strict.load(Ordering::Relaxed);
        if strict == StrictReason::Untrusted as u8 {
            log_warn!(
                "{device}: deferred flushing was chosen, but the device is not trusted: it stays \
                 strict"
            );
        } else if strict != StrictReason::None as u8 {
            log_warn!(
                "{device}: deferred flushing was chosen, but its memory cannot be held: it stays \
                 strict (hold=0 would change that)"
            );
        } else if !self.choice.lazy {
            let cost = self.choice.cost();
            log_warn!("{device}: flushes are deferred from now on: {cost}");
            self.choice.taint();
        }
    }
}
