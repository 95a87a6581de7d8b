// SPDX-License-Identifier: GPL-2.0

//! Allocation of domain-ids under the unit's lock.

use crate::shim::lock;
use std::sync::Arc;

subjects! { domain_ids domain_ids_not_marked domain_ids_for_all domain_ids_not_counted_back }

macro_rules! unique {
    ($module:ident) => {
        use $module::DomainIdOwner::User;
        crate::check(|| {
            // Two that can be allocated, and the two that are never allocated.
            let ids = $module::DomainIds::new(4).unwrap();
            let ids = Arc::new(lock::new(ids, c"ids"));
            let take = || {
                let ids = ids.clone();
                move || {
                    let first = ids.with(|ids| ids.allocate(User)).unwrap();
                    ids.with(|ids| ids.free(first));
                    ids.with(|ids| ids.allocate(User)).unwrap()
                }
            };
            let other = loom::thread::spawn(take());
            let mine = take()();
            let theirs = other.join().unwrap();
            assert!(mine != theirs, "one id for two domains");
            assert!(mine.raw() >= 2 && theirs.raw() >= 2, "a reserved id");
            assert_eq!(ids.with(|ids| ids.used()), 2);
            assert!(
                ids.with(|ids| ids.allocate(User)).is_err(),
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
            use $module::DomainIdOwner::{Kernel, User};
            let mut ids = $module::DomainIds::new(16).unwrap();
            for _ in 0..2 {
                let mut users = Vec::new();
                while let Ok(id) = ids.allocate(User) {
                    users.push(id);
                }
                assert_eq!(users.len(), 12, "users have another number");
                let kernel = [ids.allocate(Kernel).unwrap(), ids.allocate(Kernel).unwrap()];
                assert!(ids.allocate(Kernel).is_err(), "more ids than there are");
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
