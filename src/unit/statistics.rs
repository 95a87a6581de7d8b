// SPDX-License-Identifier: GPL-2.0

//! What a unit has done, counted.

use super::invalidation::Request;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU64, Ordering};
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

    /// The count.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! statistics {
    ($($(#[$doc:meta])* $field:ident $name:literal)*) => {
        /// The counts of one unit.
        #[derive(Default)]
        pub(crate) struct Statistics {
            $($(#[$doc])* pub(crate) $field: Counter,)*
        }

        impl Statistics {
            /// Writes a line `name: count` for each.
            pub(crate) fn show(&self, to: &mut dyn Write) -> fmt::Result {
                $(writeln!(to, concat!($name, ": {}"), self.$field.get())?;)*
                Ok(())
            }
        }
    };
}

statistics! {
    /// Mappings made.
    maps "maps"
    /// Mappings undone.
    unmaps "unmaps"
    /// Bytes mapped.
    mapped_bytes "mapped-bytes"
    /// Bytes unmapped.
    unmapped_bytes "unmapped-bytes"
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
    /// Counts what is about to be submitted.
    pub(crate) fn count_requests(&self, requests: &[Request]) {
        for request in requests {
            match request {
                Request::Context(_) => self.flush_context.add(1),
                Request::Iotlb(scope) => self.count_iotlb(*scope),
            }
        }
    }

    /// Counts one invalidation of translations.
    #[inline]
    pub(crate) fn count_iotlb(&self, scope: IotlbScope) {
        match scope {
            IotlbScope::Pages { .. } => self.flush_page.add(1),
            IotlbScope::Domain(_) => self.flush_domain.add(1),
            IotlbScope::Global => self.flush_global.add(1),
        }
    }
}
