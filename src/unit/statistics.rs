// SPDX-License-Identifier: GPL-2.0

//! What a unit has done, counted.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::prelude::*;
use kernel_ext::clock;
use kernel_ext::pages::Charge;
use kernel_ext::percpu::Counts;
use vtd_core::invalidation::Invalidation;
use vtd_core::spec::scope::IotlbScope;

/// A count that only grows. Any context.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Adds `n`; only for callers who keep each other out.
    #[inline(always)]
    pub(super) fn add_alone(&self, n: u64) {
        let count = self.0.load(Ordering::Relaxed).wrapping_add(n);
        self.0.store(count, Ordering::Relaxed);
    }

    /// The count.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What was mapped and unmapped.
#[derive(Clone, Copy, Default)]
pub(crate) struct Mapped {
    /// Mappings made.
    pub(crate) maps: u64,
    /// Mappings undone.
    pub(crate) unmaps: u64,
    /// Bytes mapped.
    pub(crate) mapped_bytes: u64,
    /// Bytes unmapped.
    pub(crate) unmapped_bytes: u64,
}

impl Mapped {
    /// Adds what `other` has.
    pub(crate) fn add(&mut self, other: Mapped) {
        self.maps = self.maps.wrapping_add(other.maps);
        self.unmaps = self.unmaps.wrapping_add(other.unmaps);
        self.mapped_bytes = self.mapped_bytes.wrapping_add(other.mapped_bytes);
        self.unmapped_bytes = self.unmapped_bytes.wrapping_add(other.unmapped_bytes);
    }
}

/// How many kinds of waits are told apart: done at the first look, and by time.
const WAIT_KINDS: usize = 7;

/// The kinds of waits, as files name them.
pub(crate) const WAIT_NAMES: [&str; WAIT_KINDS] = [
    "at-once",
    "below-1us",
    "below-10us",
    "below-100us",
    "below-1ms",
    "below-10ms",
    "longer",
];

/// Waits for the queue, by how long they took. Each submission has one, so their sum is the
/// number of wait descriptors.
///
/// A wait that is over at the first look has no time: a look at the clock would cost more than it.
pub(crate) struct Waits(Counts<WAIT_KINDS>);

impl Waits {
    /// Counts a wait that was over at the first look. Any context.
    #[inline(always)]
    pub(super) fn count_at_once(&self) {
        self.0.one::<0>()
    }

    /// Counts a wait that began at `start`, by [`clock::now_ns`], and is over. Any context.
    pub(super) fn count_since(&self, start: u64) {
        match clock::now_ns().saturating_sub(start) {
            0..1_000 => self.0.one::<1>(),
            1_000..10_000 => self.0.one::<2>(),
            10_000..100_000 => self.0.one::<3>(),
            100_000..1_000_000 => self.0.one::<4>(),
            1_000_000..10_000_000 => self.0.one::<5>(),
            _ => self.0.one::<6>(),
        }
    }

    /// How many there were of each of [`WAIT_NAMES`].
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

/// The counts of one unit. What is mapped is counted by its domain.
pub(crate) struct Statistics {
    /// Waits for the queue.
    pub(crate) waits: Waits,
    /// Context-cache invalidations.
    pub(crate) flush_context: Counter,
    /// IOTLB invalidations of pages.
    pub(crate) flush_page: Counter,
    /// IOTLB invalidations of a domain.
    pub(crate) flush_domain: Counter,
    /// IOTLB invalidations of everything.
    pub(crate) flush_global: Counter,
    /// Those of all these that went through registers.
    by_register: Counter,
    /// Fault records read.
    pub(crate) faults: Counter,
    /// Times that hardware lost records.
    pub(crate) fault_overflows: Counter,
    /// Context entries written.
    pub(crate) attaches: Counter,
}

/// The counts as they were at one moment.
struct Sums {
    maps: u64,
    unmaps: u64,
    mapped_bytes: u64,
    unmapped_bytes: u64,
    descriptors: u64,
    waits: u64,
    flush_context: u64,
    flush_page: u64,
    flush_domain: u64,
    flush_global: u64,
    faults: u64,
    fault_overflows: u64,
    attaches: u64,
}

macro_rules! lines {
    ($($field:ident $name:literal)*) => {
        impl Sums {
            fn show(&self, to: &mut dyn Write) -> fmt::Result {
                $(writeln!(to, concat!($name, ": {}"), self.$field)?;)*
                Ok(())
            }
        }
    };
}

lines! {
    maps "maps"
    unmaps "unmaps"
    mapped_bytes "mapped-bytes"
    unmapped_bytes "unmapped-bytes"
    descriptors "descriptors"
    waits "waits"
    flush_context "flush-context"
    flush_page "flush-page"
    flush_domain "flush-domain"
    flush_global "flush-global"
    faults "faults"
    fault_overflows "fault-overflows"
    attaches "attaches"
}

impl Statistics {
    /// Nothing yet. [`ENOMEM`].
    pub(crate) fn new() -> Result<Self> {
        Ok(Statistics {
            waits: Waits(Counts::new(Charge::Nobody)?),
            flush_context: Counter::default(),
            flush_page: Counter::default(),
            flush_domain: Counter::default(),
            flush_global: Counter::default(),
            by_register: Counter::default(),
            faults: Counter::default(),
            fault_overflows: Counter::default(),
            attaches: Counter::default(),
        })
    }

    /// Writes a line `name: count` for each; `mapped` is what was in the domains made for the unit.
    pub(crate) fn show(&self, mapped: Mapped, to: &mut dyn Write) -> fmt::Result {
        let waits = self.waits.counts().iter().sum();
        let flushes = [
            &self.flush_context,
            &self.flush_page,
            &self.flush_domain,
            &self.flush_global,
        ]
        .map(Counter::get);
        let [flush_context, flush_page, flush_domain, flush_global] = flushes;
        let by_register = self.by_register.get();
        let queued = flushes.iter().sum::<u64>().saturating_sub(by_register);
        Sums {
            maps: mapped.maps,
            unmaps: mapped.unmaps,
            mapped_bytes: mapped.mapped_bytes,
            unmapped_bytes: mapped.unmapped_bytes,
            descriptors: queued + waits,
            waits,
            flush_context,
            flush_page,
            flush_domain,
            flush_global,
            faults: self.faults.get(),
            fault_overflows: self.fault_overflows.get(),
            attaches: self.attaches.get(),
        }
        .show(to)
    }

    /// Counts what is about to be submitted. The caller holds the lock of what it is submitted to.
    pub(super) fn count_requests(&self, requests: &[Invalidation]) {
        for request in requests {
            match request {
                Invalidation::Context(_) => self.flush_context.add_alone(1),
                Invalidation::Iotlb(scope) => self.count_iotlb(*scope),
            }
        }
    }

    /// Counts what is about to be done through registers, which the caller holds.
    pub(super) fn count_by_register(&self, request: Invalidation) {
        self.by_register.add_alone(1);
        self.count_requests(&[request]);
    }

    fn count_iotlb(&self, scope: IotlbScope) {
        match scope {
            IotlbScope::Pages { .. } => self.flush_page.add_alone(1),
            IotlbScope::Domain(_) => self.flush_domain.add_alone(1),
            IotlbScope::Global => self.flush_global.add_alone(1),
        }
    }

    /// As [`Self::count_requests`], for one invalidation of pages or of a domain.
    #[inline(always)]
    pub(super) fn count_forgetting(&self, pages: bool) {
        if pages {
            self.flush_page.add_alone(1)
        } else {
            self.flush_domain.add_alone(1)
        }
    }
}
