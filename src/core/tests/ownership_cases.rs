// SPDX-License-Identifier: GPL-2.0

//! All cases for the ownership rules.

use vtd_core::ownership::{
    AttachPhase, AttachRequest, BoundDriver, DomainInterface, GroupState, Owner, OwnerState,
    Refusal, RequestedDomain,
};

pub(crate) const A: Owner = Owner {
    interface: DomainInterface::Iommufd,
    token: 0xa,
};
pub(crate) const B: Owner = Owner {
    interface: DomainInterface::Iommufd,
    token: 0xb,
};
pub(crate) const C: Owner = Owner {
    interface: DomainInterface::Api,
    token: 0xc,
};
pub(crate) const D: Owner = Owner {
    interface: DomainInterface::Api,
    token: 0xd,
};
pub(crate) const OWNERS: [Owner; 4] = [A, B, C, D];
pub(crate) const DRIVERS: [BoundDriver; 4] = [
    BoundDriver::None,
    BoundDriver::KnownToCore,
    BoundDriver::UnknownToCore,
    BoundDriver::ManagesDma,
];
pub(crate) const PHASES: [AttachPhase; 3] = [
    AttachPhase::Attach,
    AttachPhase::Reset,
    AttachPhase::Release,
];

pub(crate) fn states() -> Vec<OwnerState> {
    let mut states = vec![
        OwnerState::Blocked,
        OwnerState::Kernel,
        OwnerState::KernelOwn,
    ];
    states.extend(OWNERS.map(OwnerState::User));
    states
}

pub(crate) fn wanted() -> Vec<RequestedDomain> {
    let mut wanted = vec![
        RequestedDomain::Blocked,
        RequestedDomain::Identity,
        RequestedDomain::Dma,
    ];
    wanted.extend(OWNERS.map(RequestedDomain::Unmanaged));
    wanted
}

pub(crate) fn is_user(state: &OwnerState) -> bool {
    matches!(state, OwnerState::User(_))
}

pub(crate) fn is_kernel(state: &OwnerState) -> bool {
    matches!(state, OwnerState::Kernel | OwnerState::KernelOwn)
}

/// Returns a group whose members are in these states, in whatever way they reached them.
pub(crate) fn count_members(states: &[OwnerState]) -> GroupState {
    let ungoverned = |group: GroupState, state: OwnerState| match state {
        OwnerState::Blocked => group.with_member(),
        OwnerState::Kernel => take(
            group.with_member(),
            RequestedDomain::Dma,
            BoundDriver::None,
            AttachPhase::Release,
        ),
        OwnerState::KernelOwn => take(
            group.with_member(),
            RequestedDomain::Unmanaged(C),
            BoundDriver::KnownToCore,
            AttachPhase::Attach,
        ),
        OwnerState::User(owner) => take(
            group.with_member(),
            RequestedDomain::Unmanaged(owner),
            BoundDriver::ManagesDma,
            AttachPhase::Attach,
        ),
    };
    states
        .iter()
        .fold(GroupState::EMPTY, |group, state| ungoverned(group, *state))
}

pub(crate) fn take(
    group: GroupState,
    wanted: RequestedDomain,
    driver: BoundDriver,
    phase: AttachPhase,
) -> GroupState {
    let request = AttachRequest {
        wanted,
        driver,
        phase,
    };
    group
        .transition(OwnerState::Blocked, &request)
        .expect("a consistent group")
        .0
}

/// One case: the states of the other members, the state of this one, and the request.
pub(crate) struct Case {
    pub(crate) others: Vec<OwnerState>,
    pub(crate) from: OwnerState,
    pub(crate) request: AttachRequest,
    pub(crate) result: Result<(GroupState, OwnerState), Refusal>,
}

/// Returns whether members can be in these states at the same time.
pub(crate) fn is_consistent(states: &[OwnerState]) -> bool {
    let mut users = states.iter().filter(|state| is_user(state));
    let one_user = users
        .next()
        .is_none_or(|first| users.all(|other| other == first));
    let mixed = states.iter().any(is_user) && states.iter().any(is_kernel);
    one_user && !mixed
}

/// Calls `check` with every case: groups of one to three members and all requests.
pub(crate) fn every_case(mut check: impl FnMut(&Case)) {
    let mut cases = 0;
    let mut others: Vec<Vec<OwnerState>> = vec![vec![]];
    others.extend(states().iter().map(|one| vec![*one]));
    for one in states() {
        others.extend(states().iter().map(|two| vec![one, *two]));
    }
    for others in others {
        for from in states() {
            let mut all = others.clone();
            all.push(from);
            if !is_consistent(&all) {
                continue;
            }
            let group = count_members(&all);
            for wanted in wanted() {
                for driver in DRIVERS {
                    for phase in PHASES {
                        let request = AttachRequest {
                            wanted,
                            driver,
                            phase,
                        };
                        check(&Case {
                            others: others.clone(),
                            from,
                            request,
                            result: group.transition(from, &request),
                        });
                        cases += 1;
                    }
                }
            }
        }
    }
    assert!(cases > 3000, "{cases}");
}
