// SPDX-License-Identifier: GPL-2.0

//! A model of what the kernel's IOMMU core does with a group (drivers/iommu/iommu.c), run against
//! the rules: every sequence of claims, attaches, resets, removals and driver bindings.

use crate::ownership_cases::{is_kernel, is_user, A, B, C};
use std::collections::HashSet;
use vtd_core::ownership::{
    AttachPhase, AttachRequest, BoundDriver, DomainInterface, GroupState, Owner, OwnerState,
    Refusal, RequestedDomain,
};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Member {
    state: OwnerState,
    driver: BoundDriver,
    in_reset: bool,
}

/// The domain to which the group is attached according to the core.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Domain {
    Default,
    Blocking,
    Unmanaged(Owner),
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Model {
    group: GroupState,
    members: Vec<Member>,
    domain: Domain,
    claimed: bool,
}

impl Model {
    fn new(drivers: &[BoundDriver]) -> Self {
        let mut model = Self {
            group: GroupState::EMPTY,
            members: vec![],
            domain: Domain::Default,
            claimed: false,
        };
        for driver in drivers {
            model.add(*driver);
        }
        model
    }

    /// `attach_dev` of one member.
    fn attach(&mut self, index: usize, domain: Domain, phase: AttachPhase) -> Result<(), Refusal> {
        let member = self.members[index];
        let request = AttachRequest {
            wanted: match domain {
                Domain::Default => RequestedDomain::Dma,
                Domain::Blocking => RequestedDomain::Blocked,
                Domain::Unmanaged(owner) => RequestedDomain::Unmanaged(owner),
            },
            driver: member.driver,
            phase,
        };
        let (group, state) = self.group.transition(member.state, &request)?;
        self.group = group;
        self.members[index].state = state;
        Ok(())
    }

    /// `__iommu_group_set_domain_internal`; returns true if it succeeded.
    fn set_domain(&mut self, new: Domain, must_succeed: bool) -> bool {
        if !must_succeed && self.members.iter().any(|member| member.in_reset) {
            return false;
        }
        for index in 0..self.members.len() {
            if self.members[index].in_reset {
                continue;
            }
            if let Err(refusal) = self.attach(index, new, AttachPhase::Attach) {
                assert!(
                    !must_succeed,
                    "refused what must not fail: {refusal} {self:?}"
                );
                for before in 0..index {
                    self.attach(before, self.domain, AttachPhase::Attach)
                        .expect("the return after a failed attach");
                }
                return false;
            }
        }
        self.domain = new;
        true
    }

    fn add(&mut self, driver: BoundDriver) {
        self.group = self.group.with_member();
        self.members.push(Member {
            state: OwnerState::Blocked,
            driver,
            in_reset: false,
        });
        let last = self.members.len() - 1;
        self.attach(last, self.domain, AttachPhase::Attach)
            .expect("a new device gets the domain of its group");
    }

    fn has_driver_known_to_core(&self) -> bool {
        self.members
            .iter()
            .any(|member| member.driver == BoundDriver::KnownToCore)
    }

    /// Returns every state of the model after one step of the core.
    fn steps(&self) -> Vec<Self> {
        let mut next = self.group_steps();
        for index in 0..self.members.len() {
            next.extend(self.member_steps(index));
        }
        next
    }

    fn group_steps(&self) -> Vec<Self> {
        let mut next = vec![];
        let mut step = |change: &dyn Fn(&mut Self)| {
            let mut model = self.clone();
            change(&mut model);
            next.push(model);
        };
        if !self.claimed && !self.has_driver_known_to_core() && self.domain == Domain::Default {
            step(&|model| model.claimed = model.set_domain(Domain::Blocking, false));
        }
        if self.claimed {
            for owner in [A, B, C] {
                let replaces = matches!(self.domain, Domain::Unmanaged(old)
                    if old != owner && old.interface == DomainInterface::Iommufd && owner.interface == DomainInterface::Iommufd);
                if self.domain == Domain::Blocking || replaces {
                    step(&|model| {
                        model.set_domain(Domain::Unmanaged(owner), false);
                    });
                }
            }
            step(&|model| {
                model.set_domain(Domain::Blocking, true);
            });
            if self.domain == Domain::Blocking {
                step(&|model| {
                    model.claimed = !model.set_domain(Domain::Default, true);
                });
            }
        } else if self.members.len() == 1 && self.has_driver_known_to_core() {
            step(&|model| {
                model.set_domain(Domain::Unmanaged(C), false);
            });
            step(&|model| {
                model.set_domain(Domain::Default, true);
            });
        }
        if self.members.len() < 3 && (self.claimed || self.domain == Domain::Default) {
            step(&|model| model.add(BoundDriver::None));
        }
        next
    }

    fn member_steps(&self, index: usize) -> Vec<Self> {
        let mut next = vec![];
        let mut step = |change: &dyn Fn(&mut Self)| {
            let mut model = self.clone();
            change(&mut model);
            next.push(model);
        };
        let member = self.members[index];
        if member.driver == BoundDriver::None {
            step(&|model| model.members[index].driver = BoundDriver::ManagesDma);
            if !self.claimed && self.domain == Domain::Default {
                step(&|model| model.members[index].driver = BoundDriver::KnownToCore);
            }
        } else if self.domain == Domain::Default || member.driver == BoundDriver::ManagesDma {
            step(&|model| model.members[index].driver = BoundDriver::None);
        }
        if member.in_reset {
            step(&|model| {
                model.members[index].in_reset = false;
                if model.domain != Domain::Blocking {
                    model
                        .attach(index, model.domain, AttachPhase::Reset)
                        .expect("the end of a reset");
                }
            });
        } else {
            step(&|model| {
                model
                    .attach(index, Domain::Blocking, AttachPhase::Reset)
                    .expect("a reset");
                model.members[index].in_reset = true;
            });
        }
        if self.members.len() > 1 {
            step(&|model| {
                model
                    .attach(index, Domain::Blocking, AttachPhase::Release)
                    .expect("a release");
                let member = model.members.remove(index);
                model.group = model.group.without_member(member.state);
            });
        }
        next
    }

    fn check(&self) {
        let users = self.members.iter().any(|member| is_user(&member.state));
        let kernel = self.members.iter().any(|member| is_kernel(&member.state));
        assert!(!(users && kernel), "a mixture: {self:?}");
        let count = |what: fn(&OwnerState) -> bool| {
            self.members
                .iter()
                .filter(|member| what(&member.state))
                .count() as u32
        };
        assert_eq!(self.group.user_members(), count(is_user));
        assert_eq!(self.group.kernel_members(), count(is_kernel));
        for member in &self.members {
            let driven = matches!(
                member.driver,
                BoundDriver::KnownToCore | BoundDriver::UnknownToCore
            );
            assert!(
                !(driven && is_user(&member.state)),
                "a user over a driver: {self:?}"
            );
        }
    }
}

/// For every sequence of the core: an attach that must not fail does not fail, and the owners of a
/// group are never mixed.
#[test]
fn no_sequence_of_the_core_mixes_a_group() {
    let first = [
        BoundDriver::None,
        BoundDriver::UnknownToCore,
        BoundDriver::ManagesDma,
    ];
    let mut open = vec![];
    for one in first {
        open.push(Model::new(&[one]));
        for two in first {
            open.push(Model::new(&[one, two]));
        }
    }
    let mut seen: HashSet<Model> = open.iter().cloned().collect();
    while let Some(model) = open.pop() {
        model.check();
        for next in model.steps() {
            if seen.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    let shown = |what: &dyn Fn(&Model) -> bool| seen.iter().any(what);
    assert!(seen.len() > 500, "{}", seen.len());
    assert!(shown(&|model| model
        .members
        .iter()
        .all(|member| member.state == OwnerState::User(B))));
    assert!(shown(&|model| model
        .members
        .iter()
        .any(|member| member.state == OwnerState::KernelOwn)));
}

/// The core would allow this claim, because it never counted the driver.
#[test]
fn a_claim_with_a_driver_unknown_to_the_core_is_refused_and_undone() {
    for drivers in [
        [BoundDriver::ManagesDma, BoundDriver::UnknownToCore],
        [BoundDriver::UnknownToCore, BoundDriver::ManagesDma],
    ] {
        let mut model = Model::new(&drivers);
        let before = model.clone();
        assert!(!model.set_domain(Domain::Blocking, false));
        assert_eq!(model, before);
    }
}
