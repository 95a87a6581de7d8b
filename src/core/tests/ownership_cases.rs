// SPDX-License-Identifier: GPL-2.0

//! Every case that can be put to the ownership rules.

use vtd_core::ownership::{Driver, Group, Owner, Phase, Refusal, Request, State, Via, Wanted};

pub(crate) const A: Owner = Owner {
    via: Via::Iommufd,
    token: 0xa,
};
pub(crate) const B: Owner = Owner {
    via: Via::Iommufd,
    token: 0xb,
};
pub(crate) const C: Owner = Owner {
    via: Via::Api,
    token: 0xc,
};
pub(crate) const D: Owner = Owner {
    via: Via::Api,
    token: 0xd,
};
pub(crate) const OWNERS: [Owner; 4] = [A, B, C, D];
pub(crate) const DRIVERS: [Driver; 4] = [
    Driver::None,
    Driver::Counted,
    Driver::Uncounted,
    Driver::ManagesDma,
];
pub(crate) const PHASES: [Phase; 3] = [Phase::Attach, Phase::Reset, Phase::Release];

pub(crate) fn states() -> Vec<State> {
    let mut states = vec![State::Blocked, State::Kernel, State::KernelOwn];
    states.extend(OWNERS.map(State::User));
    states
}

pub(crate) fn wanted() -> Vec<Wanted> {
    let mut wanted = vec![Wanted::Blocked, Wanted::Identity, Wanted::Dma];
    wanted.extend(OWNERS.map(Wanted::Unmanaged));
    wanted
}

pub(crate) fn is_user(state: &State) -> bool {
    matches!(state, State::User(_))
}

pub(crate) fn is_kernel(state: &State) -> bool {
    matches!(state, State::Kernel | State::KernelOwn)
}

/// A group whose members are in these states, by whatever way they came there.
pub(crate) fn census(states: &[State]) -> Group {
    let ungoverned = |group: Group, state: State| match state {
        State::Blocked => group.with_member(),
        State::Kernel => take(
            group.with_member(),
            Wanted::Dma,
            Driver::None,
            Phase::Release,
        ),
        State::KernelOwn => take(
            group.with_member(),
            Wanted::Unmanaged(C),
            Driver::Counted,
            Phase::Attach,
        ),
        State::User(owner) => take(
            group.with_member(),
            Wanted::Unmanaged(owner),
            Driver::ManagesDma,
            Phase::Attach,
        ),
    };
    states
        .iter()
        .fold(Group::EMPTY, |group, state| ungoverned(group, *state))
}

pub(crate) fn take(group: Group, wanted: Wanted, driver: Driver, phase: Phase) -> Group {
    let request = Request {
        wanted,
        driver,
        phase,
    };
    group
        .transition(State::Blocked, &request)
        .expect("a consistent group")
        .0
}

/// One case: the other members, this one's state, and what is asked.
pub(crate) struct Case {
    pub(crate) others: Vec<State>,
    pub(crate) from: State,
    pub(crate) request: Request,
    pub(crate) result: Result<(Group, State), Refusal>,
}

/// Whether members can be in these states at the same time.
pub(crate) fn is_consistent(states: &[State]) -> bool {
    let mut users = states.iter().filter(|state| is_user(state));
    let one_user = users
        .next()
        .is_none_or(|first| users.all(|other| other == first));
    let mixed = states.iter().any(is_user) && states.iter().any(is_kernel);
    one_user && !mixed
}

/// Calls `check` with every case: groups of one to three members, all requests.
pub(crate) fn every_case(mut check: impl FnMut(&Case)) {
    let mut cases = 0;
    let mut others: Vec<Vec<State>> = vec![vec![]];
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
            let group = census(&all);
            for wanted in wanted() {
                for driver in DRIVERS {
                    for phase in PHASES {
                        let request = Request {
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
