// SPDX-License-Identifier: GPL-2.0

//! The steps of the driver in their order, on the units of `caches_hardware`.
//!
//! vtd_core makes the decisions: tables, entries, steps, scopes, descriptors, how an entry is
//! stored, replaced and changed, which entries of a device change, in which order a device is attached,
//! which units a domain has, what a flush reaches, and what a map or unmap leaves to be flushed and
//! freed. This file has what the driver does between these.

use crate::caches_attach::Target;
use crate::caches_bugs::Bug;
use crate::caches_device_tlbs::DeviceTlb;
use crate::caches_domain::{Domain, Gather};
use crate::caches_hardware::{Hardware, Kind};
use crate::caches_held::Holding;
use crate::caches_units::AllUnits;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use vtd_core::concurrent::attach::AttachState;
use vtd_core::install::{
    disable_fault_processing, install, replace_entry, RequesterEntries, RequesterEntry,
    RequesterSlot, WasInstalled,
};
use vtd_core::invalidation::{after_context_change, InvalidationSteps};
use vtd_core::lockless::flush_list::FlushList;
use vtd_core::pgtable::{Geometry, PageTable};
use vtd_core::spec::address::SourceId;
use vtd_core::spec::level::AddressWidth;

/// A device: its unit, its requester IDs, and what it is attached to.
pub(crate) struct Device {
    pub(crate) unit: usize,
    pub(crate) sources: &'static [u16],
    pub(crate) state: AttachState<usize, ()>,
    /// The domain that the core has set for it.
    pub(crate) target: Option<Target>,
    pub(crate) tlb: Option<Rc<DeviceTlb>>,
    /// Whether cutting it off is complete: the driver has marked it.
    pub(crate) is_marked: bool,
    /// The mark in the device, which a reset removes.
    pub(crate) has_mark: bool,
}

impl Device {
    /// Returns whether the device was cut off.
    pub(crate) fn is_lost(&self) -> bool {
        self.tlb.as_ref().is_some_and(|one| one.tlb.is_lost())
    }
}

/// When another processor cuts a device off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CutOff {
    Never,
    /// Before the driver looks whether that was done.
    BeforeLook,
    /// Between the look and the change of the entry.
    AfterLook,
}

/// The device was cut off (`EIO`).
#[derive(Debug)]
pub(crate) struct Refused;

pub(crate) struct Driver {
    pub(crate) hw: Rc<Hardware>,
    pub(crate) domains: Vec<Domain>,
    pub(crate) devices: Vec<Device>,
    /// The allocated domain-ids of each unit.
    pub(crate) ids: Vec<BTreeSet<u16>>,
    /// `RequesterUses`: how many devices use each requester ID.
    uses: BTreeMap<u16, u16>,
    /// When another processor cuts off the next device whose entry changes.
    pub(crate) cut_off: CutOff,
}

/// The same as `Slot` of src/unit/translation/install.rs.
struct Slot<'a> {
    driver: &'a Driver,
    unit: usize,
    source: u16,
}

impl RequesterSlot for Slot<'_> {
    type Error = core::convert::Infallible;

    fn write(&mut self, entry: RequesterEntry) {
        self.driver.set(self.unit, self.source, entry);
    }

    fn perform(&mut self, steps: InvalidationSteps) -> Result<(), Self::Error> {
        self.driver.hw.perform(self.unit, steps.iter());
        self.driver.hw.must_be_written(self.unit);
        Ok(())
    }
}

/// The same as `Entries` of src/unit/translation/install.rs.
struct Entries<'a> {
    driver: &'a mut Driver,
    unit: usize,
    tlb: Option<Rc<DeviceTlb>>,
}

impl RequesterEntries for Entries<'_> {
    type Error = core::convert::Infallible;

    fn prepare(&mut self, _: SourceId) -> Result<(), Self::Error> {
        Ok(())
    }

    fn count_use(&mut self, source: SourceId, more: bool) -> u16 {
        let uses = self.driver.uses.entry(source.raw()).or_default();
        if more {
            *uses += 1;
        } else if *uses < 2 || !self.driver.hw.has(Bug::UseNotCountedBack) {
            *uses = uses.saturating_sub(1);
        }
        if *uses > 0 && self.driver.hw.has(Bug::SharedRequesterBlocked) {
            return 0;
        }
        *uses
    }

    fn entry(&self, source: SourceId) -> RequesterEntry {
        self.driver.entry(self.unit, source.raw())
    }

    fn replace(
        &mut self,
        source: SourceId,
        old: RequesterEntry,
        new: RequesterEntry,
    ) -> Result<(), Self::Error> {
        if let (false, Some(one)) = (old.is_present(), &self.tlb) {
            if !self.driver.hw.has(Bug::DeviceEntryOverwritten) {
                self.driver.hw.drop_if_lost(one);
            }
        }
        self.driver.replace(self.unit, source.raw(), old, new);
        Ok(())
    }
}

pub(crate) const GEOMETRY: Geometry = Geometry {
    width: AddressWidth::Bits39,
    input_bits: 39,
    output_bits: 46,
    large_2m: true,
    large_1g: true,
    snoop_control: false,
};

/// The requester IDs of the devices. The second and the third device are a group, because they
/// share one.
const SOURCES: [&[u16]; 5] = [&[0x10], &[0x18, 0x19], &[0x20, 0x19], &[0x28], &[0x30]];
/// Those that may have a TLB: no other device has their requester ID.
pub(crate) const WITH_TLB: [usize; 3] = [0, 3, 4];

impl Driver {
    /// Creates three devices behind unit 0, for which the domains are allocated, and two behind
    /// unit 1.
    pub(crate) fn new(units: [Kind; 2], tlbs: [bool; 3], bug: Bug) -> Self {
        let hw = Rc::new(Hardware::new(&units, &SOURCES.concat(), bug));
        let domain = |_| Domain {
            stage: PageTable::new(&*hw, GEOMETRY).expect("a first page"),
            attachments: RefCell::default(),
            flush_list: FlushList::new(AllUnits::new(&hw)),
            truth: Vec::new(),
            pending: Vec::new(),
            queue: Gather::default(),
            holding: Holding::default(),
            is_strict: false,
        };
        let domains = (0..2).map(domain).collect();
        let device = |(number, sources): (usize, &&'static [u16])| Device {
            unit: number / 3,
            sources,
            state: AttachState::blocked(),
            target: None,
            tlb: None,
            is_marked: false,
            has_mark: false,
        };
        let mut driver = Self {
            hw,
            domains,
            devices: SOURCES.iter().enumerate().map(device).collect(),
            ids: vec![BTreeSet::new(); 2],
            uses: BTreeMap::new(),
            cut_off: CutOff::Never,
        };
        for (number, _) in WITH_TLB.into_iter().zip(tlbs).filter(|one| one.1) {
            let Device { unit, sources, .. } = driver.devices[number];
            driver.devices[number].tlb = Some(driver.hw.add_device_tlb(unit, sources[0]));
        }
        driver.hw.fill_caches();
        driver
    }

    /// Another processor cuts a device off, if it does so `when`.
    fn may_be_cut_off(&mut self, device: usize, when: CutOff) {
        if let (true, Some(one)) = (self.cut_off == when, &self.devices[device].tlb) {
            self.hw.cut_off_elsewhere(one);
        }
    }

    /// `Unit::install`.
    pub(crate) fn install(
        &mut self,
        device: usize,
        before: WasInstalled,
        to: RequesterEntry,
    ) -> Result<(), Refused> {
        if before == WasInstalled::No && !to.is_present() {
            return Ok(());
        }
        self.may_be_cut_off(device, CutOff::BeforeLook);
        let is_refused = to.is_present() && self.devices[device].is_lost();
        self.may_be_cut_off(device, CutOff::AfterLook);
        if !is_refused {
            self.install_entries(device, before, to);
        }
        let mistake = match is_refused {
            true => Bug::RefusedTooEarly,
            false => Bug::LossNotLookedFor,
        };
        if !self.hw.has(mistake) {
            if let Some(one) = &self.devices[device].tlb {
                self.hw.drop_if_lost(one);
            }
            self.hw.withdraw_lost(self.devices[device].unit);
        }
        match is_refused {
            true => Err(Refused),
            false => Ok(()),
        }
    }

    fn install_entries(&mut self, device: usize, before: WasInstalled, to: RequesterEntry) {
        let Device { unit, sources, .. } = self.devices[device];
        let tlb = self.devices[device].tlb.clone();
        let names: Vec<_> = sources.iter().map(|&s| SourceId::from_raw(s)).collect();
        let to = self.in_mode(unit, to);
        let mut entries = Entries {
            driver: self,
            unit,
            tlb,
        };
        install(&mut entries, &names, before, to).expect("a unit of the model never fails");
    }

    /// `vtd_core::install::replace_entry` itself, or a version with a bug.
    fn replace(&self, unit: usize, source: u16, old: RequesterEntry, new: RequesterEntry) {
        let (cap, mode) = (self.hw.cap(unit), self.hw.mode(unit));
        let absent = RequesterEntry::absent(mode);
        let id = |entry: RequesterEntry| entry.domain();
        let name = SourceId::from_raw(source);
        let mut slot = Slot {
            driver: self,
            unit,
            source,
        };
        let both = old.is_present() && new.is_present();
        let replaced = match () {
            () if old.is_present() && self.hw.has(Bug::ErasedBeforeInvalidated) => {
                slot.write(absent);
                slot.perform(after_context_change(mode, cap, name, id(old), None))
                    .and_then(|()| replace_entry(&mut slot, cap, name, absent, new))
            }
            // With caching mode, the model would find the cached entry that is not present instead.
            () if both && !cap.caching_mode() && self.hw.has(Bug::RewrittenBeforeInvalidated) => {
                slot.write(absent);
                slot.write(new);
                slot.perform(after_context_change(mode, cap, name, id(old), id(new)))
            }
            () if both && self.hw.has(Bug::EntryNotWithdrawn) => {
                slot.write(new);
                slot.perform(after_context_change(mode, cap, name, id(old), id(new)))
            }
            () if both && cap.caching_mode() && self.hw.has(Bug::AbsenceNotFlushed) => {
                slot.write(old.withdrawn());
                let done = slot.perform(after_context_change(mode, cap, name, id(old), None));
                slot.write(new);
                done
            }
            // Hardware tags an entry that is not present with 0, whatever follows.
            () if id(old).is_none()
                && cap.caching_mode()
                && self.hw.has(Bug::AbsenceTaggedWithNewId) =>
            {
                slot.write(new);
                slot.perform(after_context_change(mode, cap, name, id(new), None))
            }
            () if old.fault_processing_disabled() && self.hw.has(Bug::FpdChangeNotFlushed) => {
                replace_entry(&mut slot, cap, name, absent, new)
            }
            () => replace_entry(&mut slot, cap, name, old, new),
        };
        replaced.expect("a unit of the model never fails");
    }

    /// `vtd_core::install::disable_fault_processing` itself for each requester ID, or a version with
    /// a bug.
    pub(crate) fn disable_fault_processing(&mut self, device: usize) {
        let Device { unit, sources, .. } = self.devices[device];
        for &source in sources {
            let old = self.entry(unit, source);
            self.may_be_cut_off(device, CutOff::AfterLook);
            if self.hw.has(Bug::FpdChangeNotFlushed) {
                self.set(unit, source, old.with_fault_processing_disabled());
                continue;
            }
            let mut slot = Slot {
                driver: self,
                unit,
                source,
            };
            let name = SourceId::from_raw(source);
            let done = disable_fault_processing(&mut slot, self.hw.cap(unit), name, old);
            done.expect("a unit of the model never fails");
            if !self.hw.has(Bug::LossNotLookedForWithFpd) {
                self.hw.withdraw_lost(unit);
            }
        }
    }

    /// Blocks all devices and releases all tables.
    pub(crate) fn end(&mut self) {
        for domain in 0..self.domains.len() {
            self.flush_all(domain, None);
        }
        for device in 0..self.devices.len() {
            self.attach(device, Target::Blocked);
        }
        for domain in self.domains.drain(..) {
            domain
                .stage
                .release(&self.hw, &mut |page| self.hw.free(page));
        }
    }
}
