// SPDX-License-Identifier: GPL-2.0

//! The attach of a device of the model, by `vtd_core::concurrent::attach` itself. The model has no
//! owners, and retains no domain-ids.

use crate::caches_bugs::Bug;
use crate::caches_driver::{Driver, GEOMETRY};
use core::convert::Infallible;
use std::cell::RefCell;
use vtd_core::concurrent::attach::{
    attach, AttachAttempt, AttachState, AttachedDevice, AttachedTo, DomainChange, NamedDomain,
    RefusingStep,
};
use vtd_core::concurrent::domain_ids::PASS_THROUGH;
use vtd_core::install::{RequesterEntry, WasInstalled};
use vtd_core::ownership::OwnerState;
use vtd_core::spec::address::{DomainId, PhysAddr};
use vtd_core::spec::context::ContextEntry;

/// The target of an attach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Blocked,
    Identity,
    Domain(usize),
}

impl Target {
    fn named(self) -> NamedDomain {
        let kind = match self {
            Target::Blocked => AttachedTo::Blocked,
            Target::Identity => AttachedTo::Identity,
            Target::Domain(_) => AttachedTo::Dma,
        };
        NamedDomain { kind, token: 0 }
    }
}

type State = AttachState<usize, ()>;

/// A device of the driver, by its number.
struct OneDevice<'a> {
    driver: RefCell<&'a mut Driver>,
    number: usize,
}

impl OneDevice<'_> {
    fn leave_domain(&self, domain: usize) {
        let mut driver = self.driver.borrow_mut();
        let unit = driver.devices[self.number].unit;
        driver.leave(domain, unit);
    }

    fn detaches_early(&self) -> bool {
        self.driver.borrow().hw.has(Bug::DetachedBeforeBlocked)
    }
}

impl AttachedDevice for OneDevice<'_> {
    type Records = ();
    type Grant = ();
    type Domain = usize;
    type DomainId = ();
    type Translation = RequesterEntry;
    type Error = Infallible;

    // For a unit in scalable mode, `Driver::install` makes the same out of an entry of legacy mode.
    const BLOCKED: RequesterEntry = RequesterEntry::Legacy(ContextEntry::ABSENT);
    const PASS_THROUGH: RequesterEntry =
        RequesterEntry::Legacy(ContextEntry::pass_through(GEOMETRY.width, PASS_THROUGH));

    fn locked<R>(&self, work: impl FnOnce(&mut (), &mut State) -> R) -> R {
        self.locked_state(|state| work(&mut (), state))
    }

    fn locked_state<R>(&self, work: impl FnOnce(&mut State) -> R) -> R {
        let number = self.number;
        let place = |driver: &mut Driver, state| {
            core::mem::replace(&mut driver.devices[number].state, state)
        };
        let mut state = place(&mut self.driver.borrow_mut(), AttachState::blocked());
        let done = work(&mut state);
        place(&mut self.driver.borrow_mut(), state);
        done
    }

    fn commit(&self, (): &mut (), (): ()) -> OwnerState {
        OwnerState::Kernel
    }

    fn leave_group(&self, (): &mut (), _: &State) {}

    fn leave(&self, domain: &usize) -> Option<()> {
        if !self.detaches_early() {
            self.leave_domain(*domain);
        }
        None
    }

    fn install(&self, before: WasInstalled, new: RequesterEntry) -> Result<(), Infallible> {
        let mut driver = self.driver.borrow_mut();
        driver.install(self.number, before, new);
        Ok(())
    }

    fn is_cut_off(&self) -> bool {
        false
    }

    fn report_attached(&self, _: AttachedTo, _: &State) {}
}

/// An attach of a device to a target.
struct Attempt<'a, 'b>(&'a OneDevice<'b>, Target);

impl<'b> AttachAttempt<OneDevice<'b>> for Attempt<'_, 'b> {
    fn check_owner(&self, (): &mut (), state: &State) -> Result<(), Infallible> {
        if let (true, Some(old)) = (self.0.detaches_early(), state.domain) {
            self.0.leave_domain(old);
        }
        Ok(())
    }

    fn check_tables(&self) -> Result<(), Infallible> {
        Ok(())
    }

    fn join(&self, _: Option<()>) -> Result<(RequesterEntry, u16), Infallible> {
        let mut driver = self.0.driver.borrow_mut();
        Ok(match self.1 {
            Target::Blocked => (OneDevice::BLOCKED, 0),
            Target::Identity => (OneDevice::PASS_THROUGH, 0),
            Target::Domain(domain) => {
                let unit = driver.devices[self.0.number].unit;
                let id = driver.join(domain, unit);
                let top = PhysAddr::new(driver.domains[domain].stage.top(&driver.hw).phys());
                let width = GEOMETRY.width;
                let entry = ContextEntry::translating(top, width, DomainId::new(id), false);
                (entry.expect("an aligned table").into(), id)
            }
        })
    }

    fn domain(&self) -> Option<usize> {
        match self.1 {
            Target::Domain(domain) => Some(domain),
            _ => None,
        }
    }

    fn report_cut_off(&self, _: bool) {}

    fn report_refusal(&self, _: RefusingStep, _: &Infallible) {}
}

impl Driver {
    /// Attaches all devices of a group, one after the other, as the core does. A device that is
    /// removed is blocked alone.
    pub(crate) fn attach_group(&mut self, device: usize, target: Target) {
        self.attach(device, target);
        if let (1 | 2, true) = (device, target != Target::Blocked) {
            self.attach(3 - device, target);
        }
    }

    /// `device::attach`.
    pub(crate) fn attach(&mut self, number: usize, target: Target) {
        let device = OneDevice {
            driver: RefCell::new(self),
            number,
        };
        let change = DomainChange {
            old: Some(target.named()),
            new: target.named(),
        };
        let Ok(()) = attach(&device, &Attempt(&device, target), &change);
    }
}
