// SPDX-License-Identifier: GPL-2.0

//! What a unit has done, counted.

use super::invalidation::Request;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::prelude::*;
use kernel_ext::percpu::Counts;
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

/// What was mapped and unmapped: counted on the way of every mapping, so by each processor.
pub(crate) struct Mappings(Counts<4>);

macro_rules! mappings {
    ($($(#[$doc:meta])* $count:ident $name:literal)*) => {
        enum Count {
            $($(#[$doc])* $count,)*
        }

        impl Mappings {
            fn show(&self, to: &mut dyn Write) -> fmt::Result {
                $(writeln!(to, concat!($name, ": {}"), self.0.sum::<{ Count::$count as usize }>())?;)*
                Ok(())
            }
        }
    };
}

mappings! {
    /// Mappings made.
    Maps "maps"
    /// Mappings undone.
    Unmaps "unmaps"
    /// Bytes mapped.
    MappedBytes "mapped-bytes"
    /// Bytes unmapped.
    UnmappedBytes "unmapped-bytes"
}

impl Mappings {
    /// Counts a mapping of `bytes` bytes. Any context.
    #[inline(always)]
    pub(crate) fn count_map(&self, bytes: u64) {
        self.0.add::<{ Count::Maps as usize }>(1);
        self.0.add::<{ Count::MappedBytes as usize }>(bytes);
    }

    /// Counts an unmapping of `bytes` bytes. Any context.
    #[inline(always)]
    pub(crate) fn count_unmap(&self, bytes: u64) {
        self.0.add::<{ Count::Unmaps as usize }>(1);
        self.0.add::<{ Count::UnmappedBytes as usize }>(bytes);
    }
}

macro_rules! statistics {
    ($($(#[$doc:meta])* $field:ident $name:literal)*) => {
        /// The counts of one unit.
        pub(crate) struct Statistics {
            /// Mappings made and undone.
            pub(crate) mappings: Mappings,
            $($(#[$doc])* pub(crate) $field: Counter,)*
        }

        impl Statistics {
            /// Nothing yet. [`ENOMEM`].
            pub(crate) fn new() -> Result<Self> {
                Ok(Statistics {
                    mappings: Mappings(Counts::new()?),
                    $($field: Counter::default(),)*
                })
            }

            /// Writes a line `name: count` for each.
            pub(crate) fn show(&self, to: &mut dyn Write) -> fmt::Result {
                self.mappings.show(to)?;
                $(writeln!(to, concat!($name, ": {}"), self.$field.get())?;)*
                Ok(())
            }
        }
    };
}

statistics! {
    /// Descriptors submitted, waits included.
    descriptors "descriptors"
    /// Wait descriptors.
    waits "waits"
    /// Context-cache invalidations.
    flush_context "flush-context"
    /// IOTLB invalidations of pages.
    flush_page "flush-page"
    /// IOTLB invalidations of a domain.
    flush_domain "flush-domain"
    /// IOTLB invalidations of everything.
    flush_global "flush-global"
    /// Fault records read.
    faults "faults"
    /// Times that hardware lost records.
    fault_overflows "fault-overflows"
    /// Context entries written.
    attaches "attaches"
}

impl Statistics {
    /// Counts what is about to be submitted. The caller holds the lock of what it is submitted to.
    pub(crate) fn count_requests(&self, requests: &[Request]) {
        for request in requests {
            match request {
                Request::Context(_) => self.flush_context.add_alone(1),
                Request::Iotlb(scope) => self.count_iotlb(*scope),
            }
        }
    }

    fn count_iotlb(&self, scope: IotlbScope) {
        match scope {
            IotlbScope::Pages { .. } => self.flush_page.add_alone(1),
            IotlbScope::Domain(_) => self.flush_domain.add_alone(1),
            IotlbScope::Global => self.flush_global.add_alone(1),
        }
    }

    /// Counts `descriptors` and the wait behind them. The caller holds the queue.
    #[inline(always)]
    pub(super) fn count_batch(&self, descriptors: usize) {
        self.descriptors.add_alone(descriptors as u64 + 1);
        self.waits.add_alone(1);
    }

    /// As [`Self::count_requests`] and [`Self::count_batch`], for one invalidation of pages or of
    /// a domain.
    #[inline(always)]
    pub(super) fn count_forgetting(&self, pages: bool) {
        if pages {
            self.flush_page.add_alone(1)
        } else {
            self.flush_domain.add_alone(1)
        }
        self.count_batch(1);
    }
}
