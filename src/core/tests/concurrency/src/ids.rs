// SPDX-License-Identifier: GPL-2.0

//! Domain-ids, under the unit's lock.

use crate::shim::lock;
use std::sync::Arc;

subjects! { domain_ids domain_ids_not_marked }

macro_rules! unique {
    ($module:ident) => {
        crate::check(|| {
            // Two to give out, and those that are never given out.
            let ids = $module::DomainIds::new(4).unwrap();
            let ids = Arc::new(lock::new(ids, c"ids"));
            let take = || {
                let ids = ids.clone();
                move || {
                    let first = ids.with(|ids| ids.allocate()).unwrap();
                    ids.with(|ids| ids.free(first));
                    ids.with(|ids| ids.allocate()).unwrap()
                }
            };
            let other = loom::thread::spawn(take());
            let mine = take()();
            let theirs = other.join().unwrap();
            assert!(mine != theirs, "one id for two domains");
            assert!(mine.raw() >= 2 && theirs.raw() >= 2, "a reserved id");
            assert_eq!(ids.with(|ids| ids.used()), 2);
            assert!(
                ids.with(|ids| ids.allocate()).is_err(),
                "more ids than there are"
            );
        })
    };
}

laws! {
    no_two_domains_have_one_id: domain_ids, unique;
    an_id_that_stays_free_is_noticed: domain_ids_not_marked, "one id for two domains";
}
