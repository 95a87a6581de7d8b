// SPDX-License-Identifier: GPL-2.0

//! A unit is attached to a domain while a page is unmapped: either the flush includes the unit, or
//! the unit finds the page unmapped.

use crate::shim::unit::{DomainIdOwner, Unit};
use loom::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

subjects! {
    attachments attachments_no_fence attachments_weak_store attachments_never_listed
    attachments_not_retained attachments_unit_not_retained
}

/// `$primary` is whether the unit that is attached is the one for which the domain was allocated.
macro_rules! no_stale_page {
    ($module:ident) => {
        no_stale_page!($module, true);
        no_stale_page!($module, false);
    };
    ($module:ident, $primary:literal) => {
        crate::check(|| {
            let table = Arc::new(AtomicU64::new(0x1003));
            let primary_unit = Arc::new(Unit::new(2, table.clone()));
            let unit = if $primary {
                primary_unit.clone()
            } else {
                Arc::new(Unit::new(5, table.clone()))
            };
            let domain = Arc::new($module::Attachments::new(primary_unit));
            let joining = {
                let (domain, unit) = (domain.clone(), unit.clone());
                loom::thread::spawn(move || {
                    domain
                        .attach_unit(&unit, DomainIdOwner::User, None)
                        .unwrap();
                    // The context entry is written, and a device makes a request.
                    unit.walk();
                })
            };
            table.store(0, Ordering::Relaxed);
            domain.invalidate_range($module::range_of(0, 0x1000, false).unwrap());
            joining.join().unwrap();
            assert_eq!(unit.cached(), 0, "the page is reachable after the flush");
        })
    };
}

/// A device is detached and attached again while all domain-ids are allocated.
macro_rules! returns_after_detach {
    ($module:ident) => {
        crate::check(|| {
            let table = Arc::new(AtomicU64::new(0));
            let unit = |id| Arc::new(Unit::new(id, table.clone()));
            let (primary_unit, other) = (unit(2), unit(5));
            for (unit, kernels) in [
                (&primary_unit, true),
                (&primary_unit, false),
                (&other, true),
                (&other, false),
            ] {
                let domain = $module::Attachments::new(primary_unit.clone());
                let id_owner = if kernels {
                    DomainIdOwner::Kernel
                } else {
                    DomainIdOwner::User
                };
                if kernels {
                    domain.retain_units();
                }
                let id = domain.attach_unit(unit, id_owner, None).unwrap();
                let share = domain.detach_unit(unit);
                unit.fill();
                // Only a user's domain needs the retained domain-id.
                let retained_id = share.filter(|_| !kernels);
                let again = domain.attach_unit(unit, id_owner, retained_id);
                assert_eq!(again.ok(), Some(id), "it cannot be attached again");
                unit.empty();
            }
        })
    };
}

laws! {
    a_detached_device_can_return: attachments, returns_after_detach;
    an_id_that_is_not_retained_is_noticed: attachments_not_retained, "cannot be attached again";
    a_unit_that_is_not_retained_is_noticed: attachments_unit_not_retained, "cannot be attached again";
}

laws! {
    a_unit_that_joins_is_flushed_or_finds_the_page_unmapped: attachments, no_stale_page;
    a_missing_fence_is_noticed: attachments_no_fence, "reachable after the flush";
    a_weak_store_is_noticed: attachments_weak_store, "reachable after the flush";
    a_unit_that_is_not_counted_is_noticed: attachments_never_listed, "reachable after the flush";
}
