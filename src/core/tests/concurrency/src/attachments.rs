// SPDX-License-Identifier: GPL-2.0

//! A unit joins a domain while a page is unmapped in it: either the flush meets the unit, or the
//! unit finds the page unmapped.

use crate::shim::unit::{Asker, Unit};
use loom::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

subjects! {
    attachments attachments_no_fence attachments_weak_store attachments_never_listed
    attachments_brings_nothing attachments_not_kept
}

/// `home`: whether the unit that joins is the one for which the domain was made.
macro_rules! no_stale_page {
    ($module:ident) => {
        no_stale_page!($module, true);
        no_stale_page!($module, false);
    };
    ($module:ident, $home:literal) => {
        crate::check(|| {
            let table = Arc::new(AtomicU64::new(0x1003));
            let home = Arc::new(Unit::new(2, table.clone()));
            let unit = if $home {
                home.clone()
            } else {
                Arc::new(Unit::new(5, table.clone()))
            };
            let domain = Arc::new($module::Attachments::new(home));
            let joining = {
                let (domain, unit) = (domain.clone(), unit.clone());
                loom::thread::spawn(move || {
                    domain.join(&unit, Asker::User, None).unwrap();
                    // The context entry is written, and a device asks.
                    unit.walk();
                })
            };
            table.store(0, Ordering::Relaxed);
            domain.forget($module::range(0, 0x1000, false).unwrap());
            joining.join().unwrap();
            assert_eq!(unit.cached(), 0, "the page is reachable after the flush");
        })
    };
}

/// A device leaves and comes again, while all domain-ids have been given out.
macro_rules! comes_again {
    ($module:ident) => {
        crate::check(|| {
            let table = Arc::new(AtomicU64::new(0));
            let unit = |id| Arc::new(Unit::new(id, table.clone()));
            let (home, other) = (unit(2), unit(5));
            for (unit, kernels) in [
                (&home, true),
                (&home, false),
                (&other, true),
                (&other, false),
            ] {
                let domain = $module::Attachments::new(home.clone());
                let asker = if kernels { Asker::Kernel } else { Asker::User };
                if kernels {
                    domain.keep();
                }
                let id = domain.join(unit, asker, None).unwrap();
                let share = domain.leave(unit);
                unit.fill();
                // Only from a user's domain something must be brought.
                let brought = share.filter(|_| !kernels);
                let again = domain.join(unit, asker, brought);
                assert_eq!(again.ok(), Some(id), "it does not come in again");
                unit.empty();
            }
        })
    };
}

laws! {
    who_was_there_can_come_again: attachments, comes_again;
    an_id_that_is_not_brought_is_noticed: attachments_brings_nothing, "does not come in again";
    an_id_that_is_not_kept_is_noticed: attachments_not_kept, "does not come in again";
}

laws! {
    a_unit_that_joins_is_flushed_or_finds_the_page_unmapped: attachments, no_stale_page;
    a_missing_fence_is_noticed: attachments_no_fence, "reachable after the flush";
    a_weak_store_is_noticed: attachments_weak_store, "reachable after the flush";
    a_unit_that_is_not_counted_is_noticed: attachments_never_listed, "reachable after the flush";
}
