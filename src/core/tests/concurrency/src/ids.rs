// SPDX-License-Identifier: GPL-2.0

//! Allocation of domain-ids under the unit's lock.

use crate::concurrent::domain_ids;
use crate::shim::lock;
use crate::shim::prelude::{KVec, Result};
use std::sync::Arc;

mistakes! { domain_ids_not_marked domain_ids_for_all domain_ids_not_counted_back }

/// Creates the ids below a number.
macro_rules! ids {
    ($module:ident, $count:expr) => {{
        use $module::DomainIds;
        let used = KVec::from_elem(DomainIds::<KVec<u64>>::FIRST_WORD, 1, ());
        DomainIds::new(used.unwrap(), $count)
    }};
}
pub(crate) use ids;

/// Adds a word to the bitmap.
pub(crate) fn push(used: &mut KVec<u64>, word: u64) -> Result {
    used.push(word, ())
}

macro_rules! unique {
    ($module:ident) => {
        crate::check(|| {
            // Two that can be allocated, and the two that are never allocated.
            let ids = ids!($module, 4);
            let ids = Arc::new(lock::new(ids, c"ids"));
            let take = || {
                let ids = ids.clone();
                move || {
                    let first = ids.with(|ids| ids.allocate(true, push)).unwrap().unwrap();
                    ids.with(|ids| ids.free(first));
                    ids.with(|ids| ids.allocate(true, push)).unwrap().unwrap()
                }
            };
            let other = loom::thread::spawn(take());
            let mine = take()();
            let theirs = other.join().unwrap();
            assert!(mine != theirs, "one id for two domains");
            assert!(mine.raw() >= 2 && theirs.raw() >= 2, "a reserved id");
            assert_eq!(ids.with(|ids| ids.used()), 2);
            assert!(
                ids.with(|ids| ids.allocate(true, push)).unwrap().is_none(),
                "more ids than there are"
            );
        })
    };
}

/// Of 16 ids, two are never allocated and two are allocated only to the kernel, also after all ids
/// were freed.
macro_rules! reserved {
    ($module:ident) => {
        crate::check(|| {
            let mut ids = ids!($module, 16);
            for _ in 0..2 {
                let mut users = Vec::new();
                while let Some(id) = ids.allocate(true, push).unwrap() {
                    users.push(id);
                }
                assert_eq!(users.len(), 12, "users have another number");
                let kernel = [(); 2].map(|()| ids.allocate(false, push).unwrap().unwrap());
                assert!(
                    ids.allocate(false, push).unwrap().is_none(),
                    "more ids than there are"
                );
                assert_eq!(ids.used(), 14);
                for id in users.into_iter().chain(kernel) {
                    ids.free(id);
                }
                assert_eq!(ids.used(), 0, "not all were freed");
            }
        })
    };
}

laws! {
    the_last_domain_ids_are_not_for_users: domain_ids, reserved;
    an_id_for_all_is_noticed: domain_ids_for_all, "users have another number";
    an_id_that_does_not_come_back_is_noticed: domain_ids_not_counted_back, "not all were freed";
}

laws! {
    no_two_domains_have_one_id: domain_ids, unique;
    an_id_that_stays_free_is_noticed: domain_ids_not_marked, "one id for two domains";
}
