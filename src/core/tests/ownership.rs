// SPDX-License-Identifier: GPL-2.0

//! Tests of the ownership rules: all cases, the properties that hold in all of them, and a model of
//! the kernel's IOMMU core that uses them.

mod ownership_cases;
mod ownership_core;

use ownership_cases::*;
use vtd_core::ownership::{
    AttachPhase, AttachRequest, BoundDriver, DomainInterface, GroupState, Owner, OwnerState,
    Refusal, RequestedDomain,
};

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
            assert_eq!(group, count_members(&after));
        }
    });
}

#[test]
fn a_granted_request_results_in_the_requested_state() {
    every_case(|case| {
        let Ok((_, to)) = case.result else { return };
        match case.request.wanted {
            RequestedDomain::Blocked => assert_eq!(to, OwnerState::Blocked),
            RequestedDomain::Identity | RequestedDomain::Dma => assert_eq!(to, OwnerState::Kernel),
            RequestedDomain::Unmanaged(owner) => {
                assert!(to == OwnerState::User(owner) || to == OwnerState::KernelOwn);
            }
        }
    });
}

#[test]
fn user_and_kernel_never_share_a_group() {
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
        let driven = matches!(
            case.request.driver,
            BoundDriver::KnownToCore | BoundDriver::UnknownToCore
        );
        if let Ok((_, to)) = case.result {
            assert!(!(is_user(&to) && driven));
        }
        if driven
            && matches!(
                case.request.wanted,
                RequestedDomain::Unmanaged(Owner {
                    interface: DomainInterface::Iommufd,
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
        let joins = case.from == OwnerState::Blocked && case.request.phase != AttachPhase::Release;
        if is_kernel(&to) && joins {
            assert!(!case.others.iter().any(is_user));
        }
        if to == OwnerState::KernelOwn {
            assert!(!case.others.iter().any(is_user));
        }
    });
}

#[test]
fn second_owner_refused() {
    every_case(|case| {
        let RequestedDomain::Unmanaged(owner) = case.request.wanted else {
            return;
        };
        let another = case
            .others
            .iter()
            .any(|state| is_user(state) && *state != OwnerState::User(owner));
        let replaces =
            matches!(case.from, OwnerState::User(old) if old.interface == owner.interface);
        if another && !replaces {
            assert!(case.result.is_err());
        }
    });
    let group = count_members(&[OwnerState::User(A), OwnerState::Blocked]);
    let ask = |wanted| AttachRequest {
        wanted,
        driver: BoundDriver::ManagesDma,
        phase: AttachPhase::Attach,
    };
    let refused = group.transition(OwnerState::Blocked, &ask(RequestedDomain::Unmanaged(B)));
    assert_eq!(refused, Err(Refusal::SecondOwner(1)));
    assert!(group
        .transition(OwnerState::Blocked, &ask(RequestedDomain::Unmanaged(A)))
        .is_ok());
}

/// The core replaces the domain of a group member by member: for a moment there are two owners of
/// the same interface, never three and never of different interfaces.
#[test]
fn a_replacement_passes_through_two_owners() {
    let ask = |owner| AttachRequest {
        wanted: RequestedDomain::Unmanaged(owner),
        driver: BoundDriver::ManagesDma,
        phase: AttachPhase::Attach,
    };
    let start = count_members(&[
        OwnerState::User(A),
        OwnerState::User(A),
        OwnerState::User(A),
    ]);
    let (one, _) = start.transition(OwnerState::User(A), &ask(B)).unwrap();
    assert_eq!(one.owners().count(), 2);
    let third = Owner {
        interface: DomainInterface::Iommufd,
        token: 0xe,
    };
    assert_eq!(
        one.transition(OwnerState::User(A), &ask(third)),
        Err(Refusal::SecondOwner(2))
    );
    assert_eq!(
        one.transition(OwnerState::User(A), &ask(C)),
        Err(Refusal::SecondOwner(2))
    );
    let (two, _) = one.transition(OwnerState::User(A), &ask(B)).unwrap();
    let (three, _) = two.transition(OwnerState::User(A), &ask(B)).unwrap();
    assert_eq!(
        three,
        count_members(&[
            OwnerState::User(B),
            OwnerState::User(B),
            OwnerState::User(B)
        ])
    );
    let (back, _) = one.transition(OwnerState::User(B), &ask(A)).unwrap();
    assert_eq!(back, start);
}

#[test]
fn blocking_fails_only_for_a_claim_over_a_driver_unknown_to_the_core() {
    every_case(|case| {
        if case.request.wanted != RequestedDomain::Blocked {
            return;
        }
        let claim = case.from == OwnerState::Kernel
            && case.request.phase == AttachPhase::Attach
            && case.request.driver == BoundDriver::UnknownToCore;
        match case.result {
            Ok(_) => assert!(!claim),
            Err(refusal) => assert!(claim && refusal == Refusal::DriverUnknownToCore),
        }
    });
}

#[test]
fn return_to_the_default_domain_is_never_refused() {
    every_case(|case| {
        let default = matches!(
            case.request.wanted,
            RequestedDomain::Identity | RequestedDomain::Dma
        );
        let apart = case.from == OwnerState::Blocked && case.others.iter().any(is_user);
        if default && !apart {
            assert!(case.result.is_ok());
        }
    });
}

#[test]
fn resets_and_releases_always_block() {
    every_case(|case| {
        if case.request.wanted == RequestedDomain::Blocked
            && case.request.phase != AttachPhase::Attach
        {
            assert!(case.result.is_ok());
        }
        if matches!(
            case.request.wanted,
            RequestedDomain::Identity | RequestedDomain::Dma
        ) && case.request.phase == AttachPhase::Release
        {
            assert!(case.result.is_ok());
        }
    });
}

#[test]
fn a_kernel_driver_may_have_its_own_domain() {
    every_case(|case| {
        let own = matches!(
            case.request.wanted,
            RequestedDomain::Unmanaged(Owner {
                interface: DomainInterface::Api,
                ..
            })
        );
        let driven = matches!(
            case.request.driver,
            BoundDriver::KnownToCore | BoundDriver::UnknownToCore
        );
        if own && driven && !case.others.iter().any(is_user) {
            assert_eq!(case.result.map(|(_, to)| to), Ok(OwnerState::KernelOwn));
        }
    });
}

/// A device without a driver does not prevent its neighbour's driver from using its own domain, and
/// does not belong to a user.
#[test]
fn a_device_without_driver_follows_its_group() {
    every_case(|case| {
        let api = matches!(
            case.request.wanted,
            RequestedDomain::Unmanaged(Owner {
                interface: DomainInterface::Api,
                ..
            })
        );
        if !api || case.request.driver != BoundDriver::None {
            return;
        }
        let to = case.result.map(|(_, to)| to);
        if case.others.contains(&OwnerState::KernelOwn) {
            assert_eq!(to, Ok(OwnerState::KernelOwn));
        } else {
            assert_ne!(to, Ok(OwnerState::KernelOwn));
        }
    });
}

#[test]
fn a_refusal_counts_the_conflicting_members() {
    every_case(|case| {
        let users = case.others.iter().filter(|state| is_user(state)).count() as u32;
        let kernel = case.others.iter().filter(|state| is_kernel(state)).count() as u32;
        match case.result {
            Err(Refusal::SecondOwner(count) | Refusal::KernelWithUser(count)) => {
                assert!(count == users && count > 0);
            }
            Err(Refusal::UserWithKernel(count)) => assert!(count == kernel && count > 0),
            _ => {}
        }
    });
}

#[test]
fn removing_a_member_undoes_adding_it() {
    for state in states() {
        let group = count_members(&[state, OwnerState::Blocked]);
        assert_eq!(
            group.without_member(state),
            count_members(&[OwnerState::Blocked])
        );
        assert_eq!(
            group.with_blocked_member(state),
            count_members(&[OwnerState::Blocked, OwnerState::Blocked])
        );
    }
    assert_eq!(
        GroupState::EMPTY.without_member(OwnerState::Kernel),
        GroupState::EMPTY
    );
}

#[test]
fn refusals_are_sentences_that_say_what_to_do() {
    let refusals = [
        (Refusal::DriverUnknownToCore, "remove and rescan"),
        (Refusal::UserOverDriver, "unbind that driver"),
        (Refusal::UserWithKernel(3), "has 3 other device(s)"),
        (Refusal::KernelWithUser(2), "has 2 other device(s)"),
        (Refusal::SecondOwner(1), "has 1 other device(s)"),
    ];
    for (refusal, part) in refusals {
        let text = refusal.to_string();
        assert!(text.contains(part) && text.contains("; "), "{text}");
        assert!(!text.contains('\n') && !text.contains("  "), "{text}");
    }
}
