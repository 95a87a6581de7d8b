// SPDX-License-Identifier: GPL-2.0

//! The TLBs of devices: what devices have, and what the driver does with
//! `vtd_core::lockless::device_tlb`.
//!
//! A device gets every translation that the unit has or finds for it while its context entry allows
//! that, and keeps it until an invalidation names it or its TLB is turned on. With it, it reaches
//! memory as long as its context entry allows it: the unit walks nothing.
//!
//! A device may become deaf: then it drops nothing, does not answer, and uses its TLB while it is off.

use crate::caches_attach::Target;
use crate::caches_bugs::Bug;
use crate::caches_domain::Extent;
use crate::caches_driver::Driver;
use crate::caches_hardware::{Hardware, Leaf, Unit};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::{Rc, Weak};
use vtd_core::invalidation::{everything, CacheTag, InvalidationRange};
use vtd_core::lockless::device_tlb::{self, DeviceEntry, DeviceTlbAddress};
use vtd_core::spec::address::{DomainId, SourceId};
use vtd_core::spec::descriptor::{Descriptor, InvalidationEncoder};
use vtd_core::spec::invalidation::{DeviceTlbScope, Invalidation};
use vtd_core::spec::scope::{Drain, IotlbScope, PageBlock};

/// The TLB of a device, in the device.
pub(crate) struct Tlb {
    pub(crate) source: u16,
    is_on: bool,
    pub(crate) is_deaf: bool,
    /// Translations, with the domain-id that they had in the unit.
    cached: BTreeSet<Leaf>,
}

impl Tlb {
    fn uses_translations(&self) -> bool {
        self.is_on || self.is_deaf
    }
}

impl Unit {
    fn tlb(&mut self, source: u16) -> Option<&mut Tlb> {
        self.tlbs.iter_mut().find(|tlb| tlb.source == source)
    }

    /// Each device asks for every translation.
    pub(crate) fn fill_tlbs(&mut self) {
        for tlb in &mut self.tlbs {
            if tlb.uses_translations() && self.entries.allows_device_tlb(tlb.source) {
                for id in self.entries.ids_of(tlb.source) {
                    let leaves = self.leaves.range((id, 0, 0, 0, 0)..(id + 1, 0, 0, 0, 0));
                    tlb.cached.extend(leaves);
                }
            }
        }
    }

    /// A device gets an invalidation.
    pub(crate) fn invalidate_device_tlb(&mut self, scope: DeviceTlbScope) {
        let source = scope.source.raw();
        self.queue.asked.push(source);
        let tlb = self.tlb(source).expect("the device has a TLB");
        let before = tlb.cached.len();
        if tlb.is_deaf {
            self.queue.silent.push(source);
            return;
        }
        let (first, last) = (scope.block.address().raw(), scope.block.last().raw());
        tlb.cached
            .retain(|leaf| leaf.1 > last || leaf.1 + leaf.2 <= first);
        let did = tlb.cached.len() != before;
        self.count(did);
    }

    /// Returns what devices reach by translated requests, with their requester IDs.
    pub(crate) fn translated(&self) -> impl Iterator<Item = (u16, &Leaf)> {
        let allowed =
            |tlb: &&Tlb| tlb.uses_translations() && self.entries.allows_device_tlb(tlb.source);
        let tlbs = self.tlbs.iter().filter(allowed);
        tlbs.flat_map(|tlb| tlb.cached.iter().map(|leaf| (tlb.source, leaf)))
    }
}

/// The word of a context entry with the present bit.
pub(crate) struct PresentWord {
    hw: Weak<Hardware>,
    unit: usize,
    source: u16,
}

impl DeviceEntry for PresentWord {
    fn is_gone(&self) -> bool {
        false
    }

    fn withdraw(&self) -> bool {
        let hw = self.hw.upgrade().expect("the machine outlives its driver");
        if hw.has(Bug::LostEntryNotWithdrawn) {
            return false;
        }
        let [low, _] = hw.units[self.unit].borrow().entries.context(self.source);
        if low & 1 == 0 {
            return false;
        }
        hw.store(
            self.unit,
            |entries| entries.context_word(self.source, 0),
            low & !0b11,
        );
        true
    }
}

/// The TLB of a device, as the driver has it.
pub(crate) struct DeviceTlb {
    pub(crate) unit: usize,
    pub(crate) tlb: device_tlb::DeviceTlb<PresentWord>,
}

/// `DeviceTlbs` of all units.
pub(crate) type DeviceTlbs = RefCell<Vec<Rc<DeviceTlb>>>;

impl Hardware {
    /// Gives the device `source` a TLB. `Unit::add_device_tlb`.
    pub(crate) fn add_device_tlb(self: &Rc<Self>, unit: usize, source: u16) -> Rc<DeviceTlb> {
        self.units[unit].borrow_mut().tlbs.push(Tlb {
            source,
            is_on: false,
            is_deaf: false,
            cached: BTreeSet::new(),
        });
        let name = SourceId::from_raw(source);
        let address = DeviceTlbAddress {
            source: name,
            physical_function: name,
            queue_depth: 0,
        };
        let hw = Rc::downgrade(self);
        let tlb = device_tlb::DeviceTlb::new(address, PresentWord { hw, unit, source });
        let tlb = Rc::new(DeviceTlb { unit, tlb });
        self.device_tlbs.borrow_mut().push(tlb.clone());
        tlb
    }

    /// Turns the TLB of a device on, which drops everything then, or off. A reset turns it off and
    /// drops everything, too.
    pub(crate) fn switch_device_tlb(&self, one: &DeviceTlb, is_on: bool, is_reset: bool) {
        let mut unit = self.units[one.unit].borrow_mut();
        let tlb = unit.tlb(one.tlb.source().raw()).expect("it has a TLB");
        tlb.is_on = is_on;
        if is_on || is_reset {
            tlb.cached.clear();
        }
        tlb.is_deaf &= !is_reset;
        drop(unit);
        self.fill_caches_of(one.unit);
    }

    /// `Unit::begin_with_device_tlbs`: the invalidations of device-TLBs.
    pub(crate) fn device_tlb_invalidations(
        &self,
        unit: usize,
        tag: CacheTag,
        range: InvalidationRange,
    ) -> Vec<Invalidation> {
        let tlbs = self.device_tlbs.borrow();
        let reached =
            |one: &&Rc<DeviceTlb>| one.unit == unit && one.tlb.has(tag) && !one.tlb.is_lost();
        let invalidation = |one: &Rc<DeviceTlb>| match one.tlb.invalidation(range) {
            Invalidation::DeviceTlb(scope) if self.has(Bug::DeviceTlbMaskTooSmall) => {
                let mask = scope.block.address_mask().saturating_sub(1);
                let block = PageBlock::new(scope.block.address(), mask).expect("aligned");
                Invalidation::DeviceTlb(DeviceTlbScope { block, ..scope })
            }
            what => what,
        };
        tlbs.iter().filter(reached).map(invalidation).collect()
    }

    /// `Queue::acknowledge` and `Queue::cut_off`, after hardware has discarded a wait (ITE).
    pub(crate) fn acknowledge(&self, unit: usize) {
        let suspects = {
            let unit = &mut *self.units[unit].borrow_mut();
            unit.counts.time_outs += 1;
            unit.queue.take_suspects(unit.names_silent)
        };
        let tlbs = self.device_tlbs.borrow().clone();
        let of_unit = || tlbs.iter().filter(|one| one.unit == unit);
        let mut cut_off = 0;
        for one in of_unit() {
            let is_suspect = suspects.contains(&one.tlb.source().raw());
            cut_off += u32::from(is_suspect && one.tlb.lose());
        }
        self.replace_unfetched(unit, cut_off != 0, |source| {
            of_unit().any(|one| one.tlb.is_lost() && one.tlb.source() == source)
        });
        match cut_off {
            0 => self.units[unit].borrow_mut().queue.push_wait(),
            _ => self.begin_everything(unit),
        }
    }

    /// Replaces what hardware has not fetched and would send to a device that `is_lost`, and waits.
    fn replace_unfetched(&self, unit: usize, waits: bool, is_lost: impl Fn(SourceId) -> bool) {
        let encoder = InvalidationEncoder::new(Drain::of(self.cap(unit)));
        let instead = encoder.encode(Invalidation::Iotlb(IotlbScope::Global));
        let waits = waits && !self.has(Bug::LaterWaitLeft);
        for words in &mut self.units[unit].borrow_mut().queue.ring {
            let [low, high] = *words;
            let replaced = match Descriptor::decode_wide([low, high, 0, 0]) {
                Ok(Descriptor::Invalidate(Invalidation::DeviceTlb(scope), _)) => {
                    is_lost(scope.source)
                }
                Ok(Descriptor::Wait { .. }) => waits,
                _ => false,
            };
            if replaced {
                *words = instead;
            }
        }
    }

    /// Submits an invalidation of all caches.
    fn begin_everything(&self, unit: usize) {
        let all = everything(self.mode(unit)).iter().copied();
        let kept = |what: &Invalidation| {
            !(matches!(what, Invalidation::Context(_)) && self.has(Bug::LostContextNotFlushed))
        };
        self.begin(unit, &all.filter(kept).collect::<Vec<_>>());
    }

    /// Another processor cuts a device off, and has not waited yet.
    pub(crate) fn cut_off_elsewhere(&self, one: &DeviceTlb) {
        if one.tlb.lose() {
            self.begin_everything(one.unit);
        }
    }

    /// `Unit::withdraw_lost`.
    pub(crate) fn withdraw_lost(&self, unit: usize) {
        let tlbs = self.device_tlbs.borrow();
        let of_unit = tlbs.iter().filter(|one| one.unit == unit);
        if of_unit.filter(|one| one.tlb.withdraw_if_lost()).count() > 0 {
            self.begin_everything(unit);
            self.finish(unit);
        }
    }

    /// `Unit::drop_if_lost`.
    pub(crate) fn drop_if_lost(&self, one: &DeviceTlb) {
        if one.tlb.is_lost() {
            one.tlb.withdraw_if_lost();
            self.begin_everything(one.unit);
            self.finish(one.unit);
        }
    }
}

impl Driver {
    /// Memory of a domain is about to be used for something else.
    pub(crate) fn must_not_be_translated(&self, domain: usize, what: &Extent, when: &str) {
        for (number, id) in self.domains[domain].attached() {
            let unit = self.hw.units[number].borrow();
            let mut translated = unit.translated();
            if let Some((source, _)) = translated.find(|(_, leaf)| leaf.0 == id && what.meets(leaf))
            {
                let Extent { iova, phys, .. } = what;
                self.hw.report_problem(format!(
                    "{source:#x} still holds memory {phys:#x} by {iova:#x}: a translated request \
                     reaches it as it is {when}"
                ));
            }
        }
    }

    /// `Attachments::join_device_tlb`. Returns whether the device may use its TLB.
    pub(crate) fn join_device_tlb(&self, number: usize, domain: usize, id: u16) -> bool {
        let Some(one) = &self.devices[number].tlb else {
            return false;
        };
        let tag = CacheTag::SecondStage(DomainId::new(id));
        let joined = !one.tlb.is_lost() && one.tlb.join(tag);
        if joined && !self.hw.has(Bug::DeviceTlbNotCounted) {
            self.domains[domain].flush_list.count_device_tlb(true);
        }
        joined
    }

    /// `Attachments::leave_device_tlb`.
    pub(crate) fn leave_device_tlb(&self, number: usize, domain: usize, id: u16) {
        let Some(one) = &self.devices[number].tlb else {
            return;
        };
        let left = one.tlb.leave(CacheTag::SecondStage(DomainId::new(id)));
        if left && !self.hw.has(Bug::DeviceTlbNotCounted) {
            self.domains[domain].flush_list.count_device_tlb(false);
        }
    }

    /// `DeviceInfo::complete_cut_off`.
    pub(crate) fn complete_cut_off(&mut self, number: usize) {
        let device = &mut self.devices[number];
        let Some(one) = device.tlb.as_ref().filter(|one| one.tlb.is_lost()) else {
            return;
        };
        if !core::mem::replace(&mut device.is_marked, true) {
            device.has_mark = true;
            self.hw.switch_device_tlb(one, false, false);
        }
    }

    /// `DeviceInfo::restore_after_reset`.
    pub(crate) fn restore_after_reset(&mut self, number: usize) {
        self.complete_cut_off(number);
        let device = &mut self.devices[number];
        if device.is_marked && !device.has_mark {
            let one = device.tlb.as_ref().expect("it was cut off");
            if !self.hw.has(Bug::RestoredTooEarly) {
                self.hw.drop_if_lost(one);
            }
            one.tlb.restore();
            device.is_marked = false;
        }
    }

    /// Returns the number of units and of devices whose TLBs a flush of a domain reaches.
    pub(crate) fn reached(&self, domain: usize) -> u32 {
        let units = self.domains[domain].attached().len();
        let tlbs = self
            .devices
            .iter()
            .filter(|one| one.tlb.is_some() && one.state.domain == Some(domain));
        (units + tlbs.count()) as u32
    }

    /// A device becomes deaf, if it has a TLB.
    pub(crate) fn deafen(&mut self, number: usize) {
        if let Some(one) = &self.devices[number].tlb {
            let mut unit = self.hw.units[one.unit].borrow_mut();
            let tlb = unit.tlb(one.tlb.source().raw()).expect("it has a TLB");
            tlb.is_deaf = true;
        }
    }

    /// The core resets a device, and returns it to what it had.
    pub(crate) fn reset_by_core(&mut self, number: usize) {
        let before = self.devices[number].target.unwrap_or(Target::Blocked);
        self.attach(number, Target::Blocked);
        self.reset(number);
        self.attach(number, before);
    }

    /// A device is reset, maybe when another processor has just cut it off, and then attached.
    pub(crate) fn reset_and_attach(&mut self, number: usize, target: Target, cut_off: bool) {
        if self.devices[number].target == Some(target) {
            return;
        }
        let device = &self.devices[number];
        let is_cut_off = cut_off && device.state.domain.is_some();
        if let (true, Some(one)) = (is_cut_off, &device.tlb) {
            self.hw.cut_off_elsewhere(one);
        }
        self.reset(number);
        self.attach(number, target);
    }

    fn reset(&mut self, number: usize) {
        self.complete_cut_off(number);
        let device = &mut self.devices[number];
        device.has_mark = false;
        if let Some(one) = &device.tlb {
            self.hw.switch_device_tlb(one, false, true);
        }
    }
}
