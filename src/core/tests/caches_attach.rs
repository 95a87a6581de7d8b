// SPDX-License-Identifier: GPL-2.0

//! The attach of a device of the model, by `vtd_core::concurrent::attach` itself. The model has no
//! owners, and retains no domain-ids.

use crate::caches_bugs::Bug;
use crate::caches_driver::{Driver, Refused, GEOMETRY};
use std::cell::RefCell;
use vtd_core::concurrent::attach::{
    attach, AttachAttempt, AttachState, AttachedDevice, AttachedTo, DomainChange, NamedDomain,
    RefusingStep,
};
use vtd_core::concurrent::domain_ids::PASS_THROUGH;
use vtd_core::install::{RequesterEntry, WasInstalled};
use vtd_core::ownership::OwnerState;
use vtd_core::spec::address::{DomainId, PhysAddr};
use vtd_core::spec::context::{ContextEntry, TranslationType};

/// The target of an attach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Blocked,
    Identity,
    Domain(usize),
}

impl Target {
    fn named(self) -> NamedDomain {
        let (kind, token) = match self {
            Target::Blocked => (AttachedTo::Blocked, 0),
            Target::Identity => (AttachedTo::Identity, 1),
            Target::Domain(domain) => (AttachedTo::Dma, 2 + domain),
        };
        NamedDomain { kind, token }
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
        if let Some(id) = driver.domains[domain].id_on(unit) {
            driver.leave(domain, unit);
            driver.leave_device_tlb(self.number, domain, id);
        }
    }

    /// A bug: flushes no longer reach the device's TLB. Another processor unmaps something.
    fn leaves_tag_early(&self, domain: usize) {
        let mut driver = self.driver.borrow_mut();
        let device = &driver.devices[self.number];
        let id = driver.domains[domain].id_on(device.unit);
        let first = driver.domains[domain].truth.first().copied();
        if let (Some(id), Some(what), Some(_)) = (id, first, &device.tlb) {
            if driver.hw.has(Bug::DeviceTlbLeftEarly) {
                driver.leave_device_tlb(self.number, domain, id);
                driver.unmap_strictly(domain, &[(what.iova, what.len)]);
            }
        }
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
    type Error = Refused;

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

    /// `DeviceInfo::install`.
    fn install(&self, before: WasInstalled, new: RequesterEntry) -> Result<(), Refused> {
        let mut driver = self.driver.borrow_mut();
        let tlb = driver.devices[self.number].tlb.clone();
        if let Some(tlb) = &tlb {
            driver.hw.switch_device_tlb(tlb, false, false);
        }
        driver.install(self.number, before, new)?;
        if let (Some(tlb), true) = (tlb, allows_device_tlb(new)) {
            driver.hw.switch_device_tlb(&tlb, true, false);
        }
        Ok(())
    }

    fn is_cut_off(&self) -> bool {
        self.driver.borrow().devices[self.number].is_lost()
    }

    fn report_attached(&self, _: AttachedTo, _: &State) {}
}

/// `Translation::device_tlb`.
fn allows_device_tlb(entry: RequesterEntry) -> bool {
    let with = TranslationType::TranslateWithDeviceTlb;
    matches!(entry, RequesterEntry::Legacy(entry) if entry.translation_type() == with)
}

/// An attach of a device to a target.
struct Attempt<'a, 'b>(&'a OneDevice<'b>, Target);

impl<'b> AttachAttempt<OneDevice<'b>> for Attempt<'_, 'b> {
    fn check_owner(&self, (): &mut (), state: &State) -> Result<(), Refused> {
        if let (true, Some(old)) = (self.0.detaches_early(), state.domain) {
            self.0.leave_domain(old);
        }
        if let Some(old) = state.domain {
            self.0.leaves_tag_early(old);
        }
        Ok(())
    }

    fn check_tables(&self) -> Result<(), Refused> {
        Ok(())
    }

    fn join(&self, _: Option<()>) -> Result<(RequesterEntry, u16), Refused> {
        let mut driver = self.0.driver.borrow_mut();
        Ok(match self.1 {
            Target::Blocked => (OneDevice::BLOCKED, 0),
            Target::Identity => (OneDevice::PASS_THROUGH, 0),
            Target::Domain(domain) => {
                let unit = driver.devices[self.0.number].unit;
                driver.domains[domain].is_strict |= driver.devices[self.0.number].tlb.is_some();
                let id = driver.join(domain, unit);
                let tlb = driver.join_device_tlb(self.0.number, domain, id);
                let top = PhysAddr::new(driver.domains[domain].stage.top(&driver.hw).phys());
                let width = GEOMETRY.width;
                let entry = ContextEntry::translating(top, width, DomainId::new(id), tlb);
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

    fn report_refusal(&self, _: RefusingStep, _: &Refused) {}
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
        let one = &self.devices[number];
        if one.tlb.is_some() && one.target == Some(target) {
            // The core never attaches a device to what it has: a device-TLB would leave what it joins.
            return;
        }
        self.restore_after_reset(number);
        let change = DomainChange {
            old: self.devices[number].target.map(Target::named),
            new: target.named(),
        };
        let device = OneDevice {
            driver: RefCell::new(self),
            number,
        };
        let attached = attach(&device, &Attempt(&device, target), &change);
        if attached.is_ok() {
            self.devices[number].target = Some(target);
        }
    }
}
