// SPDX-License-Identifier: GPL-2.0

//! Members of one group are attached concurrently, with fewer restrictions than in the core, which
//! has a mutex for each group. In every order, no member reaches a user's memory while another one
//! reaches the kernel's or a second user's. The unit of the model asserts this at each entry. At
//! the end, the group records must agree with the installed entries, and the domains with both.

use crate::group_devices::{
    device, device_all_removed, device_first_refused, device_granted_unrecorded,
    device_installed_after_unlock, device_joined_for_nothing, device_left_early,
    device_never_checked, device_never_left, device_never_removed, device_not_committed,
    device_not_recorded, device_not_retained, device_not_stored, device_removed_first,
    device_reserved_ignored, device_retained_for_another, device_unlocked_before_install, BLOCKED,
    DMA, IDENTITY, ONE, OTHER,
};
use crate::shim::prelude::{EBUSY, EIO};
use loom::thread::spawn;
// What the files of vtd_core use of their crate.
pub(crate) use vtd_core::ownership::{AttachRequest, GroupState, OwnerState, Refusal};

/// Attaches two devices for two owners concurrently, in a group without an owner. Exactly one of
/// them is refused.
macro_rules! rivals {
    ($module:ident, $($one:expr, $other:expr;)+) => {$(
        crate::check(|| {
            let group = $module::Group::new();
            let (a, b) = (group.member(8, &[]), group.member(9, &[]));
            let other = b.goes_concurrently(BLOCKED, &[$other]);
            let mine = a.goes(BLOCKED, &[$one]);
            let theirs = other.join().unwrap();
            match (mine, theirs) {
                (Ok(()), Err(refusal)) | (Err(refusal), Ok(())) => assert_eq!(refusal, EBUSY),
                both => panic!("not one of them: {both:?}"),
            }
            group.agrees(&[&a, &b]);
        });
    )+};
}

macro_rules! kernel_and_user {
    ($module:ident) => {
        rivals! { $module, DMA, ONE; IDENTITY, ONE; }
    };
}

macro_rules! two_users {
    ($module:ident) => {
        rivals! { $module, ONE, OTHER; }
    };
}

/// A user returns a member, which is blocked and then attached for the kernel, while the other one
/// is claimed and attached to the same user's domain.
macro_rules! claim_and_return {
    ($module:ident) => {
        crate::check(|| {
            let group = $module::Group::new();
            let (a, b) = (group.member(8, &[ONE]), group.member(9, &[]));
            let back = a.goes_concurrently(ONE, &[BLOCKED, DMA]);
            let claimed = b.goes(BLOCKED, &[ONE]);
            let back = back.join().unwrap();
            assert!(back.is_ok() != claimed.is_ok(), "not one of them");
            group.agrees(&[&a, &b]);
        })
    };
}

/// A user returns a member while the other one, which is claimed, is attached to another domain.
macro_rules! handed_over {
    ($module:ident) => {
        handed_over!($module, DMA);
        handed_over!($module, OTHER);
    };
    ($module:ident, $to:expr) => {
        crate::check(|| {
            let group = $module::Group::new();
            let (a, b) = (group.member(8, &[ONE]), group.member(9, &[BLOCKED]));
            let back = a.goes_concurrently(ONE, &[BLOCKED]);
            let early = b.goes(BLOCKED, &[$to]);
            back.join()
                .unwrap()
                .expect("to be blocked is never refused");
            if early.is_err() {
                b.goes(BLOCKED, &[$to])
                    .expect("the returned member still conflicts");
            }
            group.agrees(&[&a, &b]);
        })
    };
}

/// A user's member is removed while another one, which stays, is attached for the kernel.
macro_rules! one_removed {
    ($module:ident) => {
        crate::check(|| {
            let group = $module::Group::new();
            let (a, b) = (group.member(8, &[ONE]), group.member(9, &[]));
            let leaving = {
                let a = a.clone();
                spawn(move || a.leaves())
            };
            let early = b.goes(BLOCKED, &[DMA]);
            leaving.join().unwrap();
            if early.is_err() {
                b.goes(BLOCKED, &[DMA])
                    .expect("the removed member still conflicts");
            }
            group.agrees(&[&b]);
        })
    };
}

/// One of two members of a user is removed while a new device is attached for the kernel.
macro_rules! one_removed_one_added {
    ($module:ident) => {
        crate::check(|| {
            let group = $module::Group::new();
            let (a, b) = (group.member(8, &[ONE]), group.member(9, &[ONE]));
            let leaving = spawn(move || a.leaves());
            let c = group.member(10, &[]);
            let is_refused = || {
                let attached = c.goes(BLOCKED, &[DMA]);
                assert_eq!(attached, Err(EBUSY), "while a user has another member");
            };
            is_refused();
            leaving.join().unwrap();
            is_refused();
            group.agrees(&[&b, &c]);
        })
    };
}

/// The unit fails while one member is returned to the kernel and another is attached to a user's
/// domain: no memory is reached and no record mixes owners, whether the attaches are granted or
/// not.
macro_rules! unit_fails_concurrently {
    ($module:ident) => {
        crate::check(|| {
            let group = $module::Group::new();
            let (a, b) = (
                group.member(8, &[DMA, BLOCKED]),
                group.member(9, &[BLOCKED]),
            );
            let failing = {
                let unit = group.unit.clone();
                spawn(move || unit.fail())
            };
            let back = a.goes_concurrently(BLOCKED, &[DMA]);
            let claimed = b.goes(BLOCKED, &[ONE]);
            let back = back.join().unwrap();
            failing.join().unwrap();
            assert!(back.is_err() || claimed.is_err(), "both");
            let is_kernels = a.0.state.lock().unwrap().owner_state == OwnerState::Kernel;
            assert_eq!(back.is_ok(), is_kernels, "granted and not committed");
            group.agrees(&[&a, &b]);
        })
    };
}

/// The unit fails while a new device behind it is attached for the first time. The first attach is
/// granted, and so are later attaches that must not fail. An attach to a user's domain is refused.
macro_rules! found_behind_failed {
    ($module:ident) => {
        found_behind_failed!($module, DMA);
        found_behind_failed!($module, IDENTITY);
    };
    ($module:ident, $default:expr) => {
        crate::check(|| {
            let group = $module::Group::new();
            let a = group.member(8, &[]);
            let failing = {
                let unit = group.unit.clone();
                spawn(move || unit.fail())
            };
            a.begins($default).expect("a first attach is refused");
            failing.join().unwrap();
            group.agrees(&[&a]);
            a.goes($default, &[BLOCKED])
                .expect("to be blocked is never refused");
            assert_eq!(a.goes(BLOCKED, &[ONE]), Err(EIO), "given to a user");
            a.goes(BLOCKED, &[$default])
                .expect("the return to the default domain is refused");
            group.agrees(&[&a]);
        })
    };
}

laws! {
    a_user_and_the_kernel_are_never_in_one_group: device, kernel_and_user;
    records_unlocked_before_the_install_are_noticed: device_unlocked_before_install, "a mixture";
    a_refusal_that_is_ignored_is_noticed: device_never_checked, "a mixture";
    a_grant_that_is_not_committed_is_noticed: device_not_committed, "a mixture";
}

laws! {
    two_users_are_never_in_one_group: device, two_users;
    a_grant_that_is_not_recorded_is_noticed: device_not_recorded, "a mixture";
}

laws! {
    a_claim_and_a_return_never_mix_a_group: device, claim_and_return;
    a_state_that_is_not_stored_is_noticed: device_not_stored, "not what is installed";
}

laws! {
    a_returned_device_is_blocked_before_another_owner_attaches: device, handed_over;
    an_install_after_unlocking_is_noticed: device_installed_after_unlock, "a mixture";
    a_domain_that_is_never_left_is_noticed: device_never_left, "a domain has another device";
}

laws! {
    a_removed_device_is_blocked_before_others_attach: device, one_removed;
    a_device_removed_before_it_is_blocked_is_noticed: device_removed_first, "a mixture";
    a_device_that_is_never_removed_is_noticed: device_never_removed, "the removed member still conflicts";
    a_record_without_reserved_members_is_noticed: device_reserved_ignored, "the removed member still conflicts";
}

laws! {
    removing_a_device_keeps_the_others_recorded: device, one_removed_one_added;
    a_record_removed_with_one_member_is_noticed: device_all_removed, "while a user has another member";
}

laws! {
    a_concurrent_unit_failure_mixes_no_group: device, unit_fails_concurrently;
    a_return_that_is_not_recorded_is_noticed: device_granted_unrecorded, "granted and not committed";
}

/// A device is blocked for a reset and returns, while no domain-id is free; another one is given to
/// another owner in between.
macro_rules! reset {
    ($module:ident) => {
        crate::check(|| {
            let group = $module::Group::new();
            let (a, b) = (group.member(8, &[ONE]), group.member(9, &[ONE, BLOCKED]));
            group.full.store(true, std::sync::atomic::Ordering::Relaxed);
            let other = b.goes_concurrently(BLOCKED, &[ONE]);
            a.goes(ONE, &[BLOCKED, ONE]).expect("it cannot return");
            other.join().unwrap().expect("it cannot return");
            group.agrees(&[&a, &b]);
            group
                .full
                .store(false, std::sync::atomic::Ordering::Relaxed);
            a.goes(ONE, &[BLOCKED]).unwrap();
            b.goes(ONE, &[BLOCKED, DMA]).unwrap();
            group.agrees(&[&a, &b]);
        })
    };
}

laws! {
    a_device_returns_to_its_domain_after_a_reset: device, reset;
    a_domain_id_that_is_not_retained_is_noticed: device_not_retained, "it cannot return";
    a_domain_id_retained_for_another_domain_is_noticed: device_retained_for_another, "the domain-id of another domain";
    a_domain_left_while_it_is_installed_is_noticed: device_left_early, "left while it is installed";
}

laws! {
    a_first_attach_behind_a_failed_unit_succeeds: device, found_behind_failed;
    a_first_attach_that_is_refused_is_noticed: device_first_refused, "a first attach is refused";
    a_target_that_keeps_a_refused_device_is_noticed: device_joined_for_nothing, "a domain has another device";
}
