// SPDX-License-Identifier: GPL-2.0

//! Strict or lazy flushing: whether an unmapped range is invalidated before its memory is reused.
//!
//! The IOMMU core decides when it flushes, and sets `gather.queued` in an unmap whose flush it
//! defers. This mark is the only place where the driver can see that the core defers a flush,
//! however that was enabled. So lazy flushing is announced here, and overridden here for untrusted
//! devices.

use core::sync::atomic::{AtomicU8, Ordering};
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

/// Why a domain is strict, whatever the core chooses: a bit of [`FlushPolicy`].
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum StrictReason {
    /// It is not strict.
    None = 0,
    /// A driver of an attached device does not tolerate that its memory is held.
    NotTolerated = 1 << 2,
    /// An untrusted device is, or was, attached.
    Untrusted = 1 << 3,
    /// A device with a TLB is, or was, attached.
    DeviceTlb = 1 << 4,
}

/// A flush was deferred, and the log explained that.
const ANNOUNCED: u8 = 1;
/// Memory is held until the flush.
const HOLD: u8 = 1 << 1;
/// The domain is lazy, and its memory is held.
const ALL_HELD: u8 = ANNOUNCED | HOLD;

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
    /// [`ANNOUNCED`], [`HOLD`] and each [`StrictReason`]: bits that are only ever set.
    state: AtomicU8,
    choice: FlushChoice,
}

impl FlushPolicy {
    /// Creates a policy that follows the core.
    pub(super) fn new(choice: FlushChoice) -> Self {
        let state = match choice.hold {
            true if hold::is_tolerated() => HOLD,
            true => HOLD | StrictReason::NotTolerated as u8,
            false => 0,
        };
        FlushPolicy {
            state: AtomicU8::new(state),
            choice,
        }
    }

    /// Makes the domain strict from now on, whatever the core chooses: such a device is being
    /// attached.
    pub(super) fn stay_strict(&self, reason: StrictReason) {
        if reason == StrictReason::NotTolerated && !self.choice.hold {
            return;
        }
        self.state.fetch_or(reason as u8, Ordering::Relaxed);
    }

    /// Returns whether flushes are deferred: the core has done so, and the domain is not strict.
    pub(super) fn is_lazy(&self) -> bool {
        matches!(self.state(), ANNOUNCED | ALL_HELD)
    }

    #[inline(always)]
    fn state(&self) -> u8 {
        self.state.load(Ordering::Relaxed)
    }

    /// Returns whether nothing must follow an unmap whose flush the core defers. If something must,
    /// [`Self::after_unmap`] returns what.
    ///
    /// # Context
    ///
    /// Any context.
    #[inline(always)]
    pub(super) fn follows_core(&self) -> bool {
        self.state() == ANNOUNCED
    }

    /// Returns what must follow an unmap whose flush the core defers. [`None`]: nothing. The first
    /// such unmap is announced in the log.
    ///
    /// # Context
    ///
    /// Any context.
    #[inline(always)]
    pub(super) fn after_unmap(&self, device: &Name) -> Option<Deferred> {
        if self.state() == ALL_HELD {
            return Some(Deferred::Hold);
        }
        self.after_other_unmap(device)
    }

    #[cold]
    #[inline(never)]
    fn after_other_unmap(&self, device: &Name) -> Option<Deferred> {
        let before = self.state.fetch_or(ANNOUNCED, Ordering::Relaxed);
        if before & ANNOUNCED == 0 {
            self.announce(device, before);
        }
        match before | ANNOUNCED {
            ANNOUNCED => None,
            ALL_HELD => Some(Deferred::Hold),
            _ => Some(Deferred::FlushNow),
        }
    }

    fn announce(&self, device: &Name, state: u8) {
        if state & StrictReason::Untrusted as u8 != 0 {
            log_warn!(
                "{device}: deferred flushing was chosen, but the device is not trusted: it stays \
                 strict"
            );
        } else if state & StrictReason::DeviceTlb as u8 != 0 {
            log_warn!(
                "{device}: deferred flushing was chosen, but the device uses a TLB (ATS): it stays \
                 strict (ats=0 would change that)"
            );
        } else if state & StrictReason::NotTolerated as u8 != 0 {
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
