// SPDX-License-Identifier: GPL-2.0

//! The ownership rules: every case there is, the laws that hold in all of them, and a model
//! of the kernel's core that uses them.

mod ownership_cases;
mod ownership_core;

use ownership_cases::*;
use vtd_core::ownership::{Driver, Group, Owner, Phase, Refusal, Request, State, Via, Wanted};

#[test]
fn the_count_follows_every_granted_request() {
    every_case(|case| {
        let Ok((group, to)) = case.result else { return };
        let mut after = case.others.clone();
        after.push(to);
        let kernel = after.iter().filter(|state| is_kernel(state)).count();
        let user = after.iter().filter(|state| is_user(state)).count();
        assert_eq!(group.kernel_members() as usize, kernel);
        assert_eq!(group.user_members() as usize, user);
        if is_consistent(&after) {
            assert_eq!(group, census(&after));
        }
    });
}

#[test]
fn a_granted_request_leads_where_it_asks() {
    every_case(|case| {
        let Ok((_, to)) = case.result else { return };
        match case.request.wanted {
            Wanted::Blocked => assert_eq!(to, State::Blocked),
            Wanted::Identity | Wanted::Dma => assert_eq!(to, State::Kernel),
            Wanted::Unmanaged(owner) => {
                assert!(to == State::User(owner) || to == State::KernelOwn);
            }
        }
    });
}

#[test]
fn user_never_beside_kernel() {
    every_case(|case| {
        let Ok((_, to)) = case.result else { return };
        if is_user(&to) {
            assert!(!case.others.iter().any(is_kernel));
        }
    });
}

#[test]
fn user_never_over_a_kernel_driver() {
    every_case(|case| {
        let driven = matches!(case.request.driver, Driver::Counted | Driver::Uncounted);
        if let Ok((_, to)) = case.result {
            assert!(!(is_user(&to) && driven));
        }
        if driven
            && matches!(
                case.request.wanted,
                Wanted::Unmanaged(Owner {
                    via: Via::Iommufd,
                    ..
                })
            )
        {
            assert_eq!(case.result, Err(Refusal::UserOverDriver));
        }
    });
}

#[test]
fn kernel_never_joins_a_user() {
    every_case(|case| {
        let Ok((_, to)) = case.result else { return };
        let joins = case.from == State::Blocked && case.request.phase != Phase::Release;
        if is_kernel(&to) && joins {
            assert!(!case.others.iter().any(is_user));
        }
        if to == State::KernelOwn {
            assert!(!case.others.iter().any(is_user));
        }
    });
}

#[test]
fn second_owner_refused() {
    every_case(|case| {
        let Wanted::Unmanaged(owner) = case.request.wanted else {
            return;
        };
        let another = case
            .others
            .iter()
            .any(|state| is_user(state) && *state != State::User(owner));
        let replaces = matches!(case.from, State::User(old) if old.via == owner.via);
        if another && !replaces {
            assert!(case.result.is_err());
        }
    });
    let group = census(&[State::User(A), State::Blocked]);
    let ask = |wanted| Request {
        wanted,
        driver: Driver::ManagesDma,
        phase: Phase::Attach,
    };
    let refused = group.transition(State::Blocked, &ask(Wanted::Unmanaged(B)));
    assert_eq!(refused, Err(Refusal::SecondOwner(1)));
    assert!(group
        .transition(State::Blocked, &ask(Wanted::Unmanaged(A)))
        .is_ok());
}

/// The core replaces the domain of a group member by member: two owners for a moment, of
/// one interface, never three and never of both.
#[test]
fn a_replacement_passes_through_two_owners() {
    let ask = |owner| Request {
        wanted: Wanted::Unmanaged(owner),
        driver: Driver::ManagesDma,
        phase: Phase::Attach,
    };
    let start = census(&[State::User(A), State::User(A), State::User(A)]);
    let (one, _) = start.transition(State::User(A), &ask(B)).unwrap();
    assert_eq!(one.owners().count(), 2);
    let third = Owner {
        via: Via::Iommufd,
        token: 0xe,
    };
    assert_eq!(
        one.transition(State::User(A), &ask(third)),
        Err(Refusal::SecondOwner(2))
    );
    assert_eq!(
        one.transition(State::User(A), &ask(C)),
        Err(Refusal::SecondOwner(2))
    );
    let (two, _) = one.transition(State::User(A), &ask(B)).unwrap();
    let (three, _) = two.transition(State::User(A), &ask(B)).unwrap();
    assert_eq!(
        three,
        census(&[State::User(B), State::User(B), State::User(B)])
    );
    let (back, _) = one.transition(State::User(B), &ask(A)).unwrap();
    assert_eq!(back, start);
}

#[test]
fn only_the_claim_over_an_uncounted_driver_may_not_be_blocked() {
    every_case(|case| {
        if case.request.wanted != Wanted::Blocked {
            return;
        }
        let claim = case.from == State::Kernel
            && case.request.phase == Phase::Attach
            && case.request.driver == Driver::Uncounted;
        match case.result {
            Ok(_) => assert!(!claim),
            Err(refusal) => assert!(claim && refusal == Refusal::UncountedDriver),
        }
    });
}

#[test]
fn way_back_never_refused() {
    every_case(|case| {
        let default = matches!(case.request.wanted, Wanted::Identity | Wanted::Dma);
        let apart = case.from == State::Blocked && case.others.iter().any(is_user);
        if default && !apart {
            assert!(case.result.is_ok());
        }
    });
}

#[test]
fn resets_and_releases_always_block() {
    every_case(|case| {
        if case.request.wanted == Wanted::Blocked && case.request.phase != Phase::Attach {
            assert!(case.result.is_ok());
        }
        if matches!(case.request.wanted, Wanted::Identity | Wanted::Dma)
            && case.request.phase == Phase::Release
        {
            assert!(case.result.is_ok());
        }
    });
}

#[test]
fn a_kernel_driver_may_have_a_domain_of_its_own() {
    every_case(|case| {
        let own = matches!(
            case.request.wanted,
            Wanted::Unmanaged(Owner { via: Via::Api, .. })
        );
        let driven = matches!(case.request.driver, Driver::Counted | Driver::Uncounted);
        if own && driven && !case.others.iter().any(is_user) {
            assert_eq!(case.result.map(|(_, to)| to), Ok(State::KernelOwn));
        }
    });
}

/// A device without a driver is not in the way of its neighbour's driver, and not a user's.
#[test]
fn a_device_without_driver_follows_its_group() {
    every_case(|case| {
        let api = matches!(
            case.request.wanted,
            Wanted::Unmanaged(Owner { via: Via::Api, .. })
        );
        if !api || case.request.driver != Driver::None {
            return;
        }
        let to = case.result.map(|(_, to)| to);
        if case.others.contains(&State::KernelOwn) {
            assert_eq!(to, Ok(State::KernelOwn));
        } else {
            assert_ne!(to, Ok(State::KernelOwn));
        }
    });
}

#[test]
fn a_refusal_counts_who_is_in_the_way() {
    every_case(|case| {
        let users = case.others.iter().filter(|state| is_user(state)).count() as u32;
        let kernel = case.others.iter().filter(|state| is_kernel(state)).count() as u32;
        match case.result {
            Err(Refusal::SecondOwner(count) | Refusal::KernelBesideUser(count)) => {
                assert!(count == users && count > 0);
            }
            Err(Refusal::UserBesideKernel(count)) => assert!(count == kernel && count > 0),
            _ => {}
        }
    });
}

#[test]
fn members_leave_as_they_came() {
    for state in states() {
        let group = census(&[state, State::Blocked]);
        assert_eq!(group.without_member(state), census(&[State::Blocked]));
        assert_eq!(
            group.failed_closed(state),
            census(&[State::Blocked, State::Blocked])
        );
    }
    assert_eq!(Group::EMPTY.without_member(State::Kernel), Group::EMPTY);
}

#[test]
fn refusals_are_sentences_that_say_what_to_do() {
    let refusals = [
        (Refusal::UncountedDriver, "remove and rescan"),
        (Refusal::UserOverDriver, "unbind that driver"),
        (Refusal::UserBesideKernel(3), "has 3 other device(s)"),
        (Refusal::KernelBesideUser(2), "has 2 other device(s)"),
        (Refusal::SecondOwner(1), "has 1 other device(s)"),
    ];
    for (refusal, part) in refusals {
        let text = refusal.to_string();
        assert!(text.contains(part) && text.contains("; "), "{text}");
        assert!(!text.contains('\n') && !text.contains("  "), "{text}");
    }
}
