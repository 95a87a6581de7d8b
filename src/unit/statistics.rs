// SPDX-License-Identifier: GPL-2.0

//! Counters of one unit.

use core::sync::atomic::{AtomicU64, Ordering};
use kernel::prelude::*;
use kernel_ext::clock;
use kernel_ext::pages::Charge;
use kernel_ext::percpu::PerCpuCounters;
use vtd_core::spec::invalidation::{Invalidation, PasidIotlbScope};
use vtd_core::spec::scope::IotlbScope;

/// A counter that only grows.
///
/// # Context
///
/// Any context.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Adds `n`. Only for callers that exclude each other.
    #[inline(always)]
    pub(super) fn add_unsync(&self, n: u64) {
        let count = self.0.load(Ordering::Relaxed).wrapping_add(n);
        self.0.store(count, Ordering::Relaxed);
    }

    /// Returns the count.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The number of kinds of waits: those that were complete at the first check, and the others by
/// duration.
pub(crate) const WAIT_KINDS: usize = 7;

/// Waits for the queue, by duration. Each submission has one, so their sum is the number of wait
/// descriptors.
///
/// The duration of a wait that is complete at the first check is not measured, because reading the
/// clock would cost more than the wait.
pub(crate) struct Waits(PerCpuCounters<WAIT_KINDS>);

impl Waits {
    /// Counts a wait that was complete at the first check.
    ///
    /// # Context
    ///
    /// Any context.
    #[inline(always)]
    pub(super) fn count_immediate(&self) {
        self.0.inc::<0>()
    }

    /// Counts a wait that is complete now and began at `start`, by [`clock::now_ns`].
    ///
    /// # Context
    ///
    /// Any context.
    pub(super) fn count_since(&self, start: u64) {
        match clock::now_ns().saturating_sub(start) {
            0..1_000 => self.0.inc::<1>(),
            1_000..10_000 => self.0.inc::<2>(),
            10_000..100_000 => self.0.inc::<3>(),
            100_000..1_000_000 => self.0.inc::<4>(),
            1_000_000..10_000_000 => self.0.inc::<5>(),
            _ => self.0.inc::<6>(),
        }
    }

    /// Returns the number of waits of each kind, the shortest first.
    pub(crate) fn counts(&self) -> [u64; WAIT_KINDS] {
        let of = &self.0;
        [
            of.sum::<0>(),
            of.sum::<1>(),
            of.sum::<2>(),
            of.sum::<3>(),
            of.sum::<4>(),
            of.sum::<5>(),
            of.sum::<6>(),
        ]
    }
}

/// The counters of one unit. What is mapped is counted by its domain.
pub(crate) struct Statistics {
    /// Waits for the queue.
    pub(crate) waits: Waits,
    /// Context-cache and PASID-cache invalidations.
    pub(crate) flush_context: Counter,
    /// IOTLB invalidations of pages.
    pub(crate) flush_page: Counter,
    /// IOTLB invalidations of a domain.
    pub(crate) flush_domain: Counter,
    /// IOTLB invalidations of everything.
    pub(crate) flush_global: Counter,
    /// Invalidations of interrupt entries.
    pub(crate) flush_interrupt: Counter,
    /// Invalidations of device-TLBs.
    pub(crate) flush_device: Counter,
    /// Those of the above that went through registers.
    pub(crate) by_register: Counter,
    /// Fault records read.
    pub(crate) faults: Counter,
    /// How often hardware lost fault records.
    pub(crate) fault_overflows: Counter,
    /// Context entries written.
    pub(crate) attaches: Counter,
}

impl Statistics {
    /// Creates the counters, all 0.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(crate) fn new() -> Result<Self> {
        Ok(Statistics {
            waits: Waits(PerCpuCounters::new(Charge::Unaccounted)?),
            flush_context: Counter::default(),
            flush_page: Counter::default(),
            flush_domain: Counter::default(),
            flush_global: Counter::default(),
            flush_interrupt: Counter::default(),
            flush_device: Counter::default(),
            by_register: Counter::default(),
            faults: Counter::default(),
            fault_overflows: Counter::default(),
            attaches: Counter::default(),
        })
    }

    /// Counts `requests`, which are about to be submitted. The caller holds the lock of the queue
    /// or of the registers.
    pub(super) fn count_requests(&self, requests: &[Invalidation]) {
        for request in requests {
            match request {
                Invalidation::Context(_) | Invalidation::Pasid(_) => {
                    self.flush_context.add_unsync(1)
                }
                Invalidation::Iotlb(scope) => self.count_iotlb(*scope),
                Invalidation::PasidIotlb(PasidIotlbScope::Pages { .. }) => {
                    self.flush_page.add_unsync(1)
                }
                Invalidation::PasidIotlb(PasidIotlbScope::Pasid { .. }) => {
                    self.flush_domain.add_unsync(1)
                }
                Invalidation::InterruptEntries(_) => self.count_interrupt_entries(1),
                Invalidation::DeviceTlb(_) => self.flush_device.add_unsync(1),
            }
        }
    }

    /// Counts `many` invalidations of interrupt entries, which are about to be submitted. The caller
    /// holds the lock of the queue.
    pub(super) fn count_interrupt_entries(&self, many: u64) {
        self.flush_interrupt.add_unsync(many)
    }

    /// Counts an invalidation that is about to be done through registers. The caller holds their
    /// lock.
    pub(super) fn count_by_register(&self, request: Invalidation) {
        self.by_register.add_unsync(1);
        self.count_requests(&[request]);
    }

    /// Counts one IOTLB invalidation, as [`Self::count_requests`] does.
    #[inline(always)]
    pub(super) fn count_iotlb(&self, scope: IotlbScope) {
        match scope {
            IotlbScope::Pages { .. } => self.flush_page.add_unsync(1),
            IotlbScope::Domain(_) => self.flush_domain.add_unsync(1),
            IotlbScope::Global => self.flush_global.add_unsync(1),
        }
    }
}
