// SPDX-License-Identifier: GPL-2.0

//! The steps of the driver in their order, on the units of `caches_hardware`.
//!
//! vtd_core makes the decisions: tables, entries, steps, scopes, descriptors, how an entry is
//! stored, replaced and changed, which entries of a device change, in which order a device is attached,
//! which units a domain has, what a flush reaches, and what a map or unmap leaves to be flushed and
//! freed. This file has what the driver does between these.

use crate::caches_attach::Target;
use crate::caches_bugs::Bug;
use crate::caches_domain::{Domain, Gather};
use crate::caches_entries::Entries as UnitEntries;
use crate::caches_hardware::{Hardware, Kind};
use crate::caches_held::Holding;
use crate::caches_units::AllUnits;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use vtd_core::concurrent::attach::AttachState;
use vtd_core::install::{
    disable_fault_processing, entry_stores, install, replace_entry, write_scalable, ContextBits,
    RequesterEntries, RequesterEntry, RequesterSlot, ScalableMemory, WasInstalled,
};
use vtd_core::invalidation::{after_context_change, InvalidationSteps};
use vtd_core::lockless::flush_list::FlushList;
use vtd_core::pgtable::{Geometry, PageTable};
use vtd_core::spec::address::SourceId;
use vtd_core::spec::context::{ContextEntry, TranslationType};
use vtd_core::spec::level::AddressWidth;
use vtd_core::spec::pasid::PasidEntry;
use vtd_core::spec::registers::TranslationTableMode;

/// A device: its unit, its requester IDs, and what it is attached to.
pub(crate) struct Device {
    pub(crate) unit: usize,
    pub(crate) sources: &'static [u16],
    pub(crate) state: AttachState<usize, ()>,
}

pub(crate) struct Driver {
    pub(crate) hw: Rc<Hardware>,
    pub(crate) domains: Vec<Domain>,
    pub(crate) devices: Vec<Device>,
    /// The allocated domain-ids of each unit.
    pub(crate) ids: Vec<BTreeSet<u16>>,
    /// `RequesterUses`: how many devices use each requester ID.
    uses: BTreeMap<u16, u16>,
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
            *uses -= 1;
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

/// The entries of one requester ID, in memory.
struct Memory<'a> {
    hw: &'a Hardware,
    unit: usize,
    source: u16,
}

impl Memory<'_> {
    fn write<const WORDS: usize>(
        &self,
        words: [u64; WORDS],
        place: impl Fn(&mut UnitEntries, usize) -> &mut u64,
    ) {
        let mut stores = entry_stores(words);
        if self.hw.has(Bug::PresentBitFirst) {
            stores.sort();
        }
        for (word, value) in stores {
            self.hw
                .store(self.unit, |entries| place(entries, word), value);
        }
    }

    fn write_context(&self, words: [u64; 2]) {
        let source = self.source;
        self.write(words, |entries, word| entries.context_word(source, word));
    }
}

impl ScalableMemory for Memory<'_> {
    fn write_context(&mut self, context: ContextBits) {
        let bits = [
            context.present,
            context.fault_processing_disabled,
            context.device_tlb,
        ];
        let low = (0..).zip(bits).map(|(at, bit)| u64::from(bit) << at).sum();
        Memory::write_context(self, [low, 0]);
    }

    fn write_pasid(&mut self, entry: PasidEntry) {
        let source = self.source;
        let old = self.hw.units[self.unit].borrow().entries.pasid(source);
        if old != entry {
            self.write(entry.words(), |entries, word| {
                entries.pasid_word(source, word)
            });
        }
    }
}

/// The requester IDs of the devices. The second and the third device are a group, because they
/// share one.
const SOURCES: [&[u16]; 4] = [&[0x10], &[0x18, 0x19], &[0x20, 0x19], &[0x28]];

impl Driver {
    /// Creates three devices behind unit 0, for which the domains are allocated, and one behind
    /// unit 1.
    pub(crate) fn new(units: [Kind; 2], bug: Bug) -> Self {
        let hw = Rc::new(Hardware::new(&units, &SOURCES.concat(), bug));
        let domain = |_| Domain {
            stage: PageTable::new(&*hw, GEOMETRY).expect("a first page"),
            attachments: RefCell::default(),
            flush_list: FlushList::new(AllUnits::new(&hw)),
            truth: Vec::new(),
            pending: Vec::new(),
            queue: Gather::default(),
            holding: Holding::default(),
        };
        let domains = (0..2).map(domain).collect();
        let device = |(number, sources): (usize, &&'static [u16])| Device {
            unit: number / 3,
            sources,
            state: AttachState::blocked(),
        };
        let driver = Self {
            hw,
            domains,
            devices: SOURCES.iter().enumerate().map(device).collect(),
            ids: vec![BTreeSet::new(); 2],
            uses: BTreeMap::new(),
        };
        driver.hw.fill_caches();
        driver
    }

    pub(crate) fn entry(&self, unit: usize, source: u16) -> RequesterEntry {
        let entries = &self.hw.units[unit].borrow().entries;
        let [low, high] = entries.context(source);
        match entries.mode() {
            TranslationTableMode::Legacy => ContextEntry::from_words(low, high).into(),
            TranslationTableMode::Scalable => RequesterEntry::Scalable {
                context: ContextBits {
                    present: low & 1 != 0,
                    fault_processing_disabled: low & 2 != 0,
                    device_tlb: low & 4 != 0,
                },
                pasid: entries.pasid(source),
            },
        }
    }

    /// `RequesterTables::set`.
    fn set(&self, unit: usize, source: u16, entry: RequesterEntry) {
        let mut memory = Memory {
            hw: &self.hw,
            unit,
            source,
        };
        match entry {
            RequesterEntry::Legacy(entry) => Memory::write_context(&memory, entry.words()),
            RequesterEntry::Scalable { context, pasid } => {
                if context.present && self.hw.has(Bug::ContextStoredBeforePasid) {
                    ScalableMemory::write_context(&mut memory, context);
                }
                write_scalable(&mut memory, context, pasid);
            }
        }
    }

    /// Returns what `to` is in the mode of a unit.
    fn in_mode(&self, unit: usize, to: RequesterEntry) -> RequesterEntry {
        let RequesterEntry::Legacy(entry) = to else {
            return to;
        };
        let (width, id) = (GEOMETRY.width, entry.domain());
        let pasid = match (self.hw.mode(unit), entry.translation_type()) {
            (TranslationTableMode::Legacy, _) => return to,
            _ if !entry.is_present() => PasidEntry::ABSENT,
            (_, TranslationType::PassThrough) => PasidEntry::pass_through(width, id, false),
            _ => {
                PasidEntry::second_stage(entry.table(), width, id, false).expect("an aligned table")
            }
        };
        RequesterEntry::scalable(pasid, false)
    }

    /// `Unit::install`.
    pub(crate) fn install(&mut self, device: usize, before: WasInstalled, to: RequesterEntry) {
        let Device { unit, sources, .. } = self.devices[device];
        let names: Vec<_> = sources.iter().map(|&s| SourceId::from_raw(s)).collect();
        let to = self.in_mode(unit, to);
        let mut entries = Entries { driver: self, unit };
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
