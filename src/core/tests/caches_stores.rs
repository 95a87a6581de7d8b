// SPDX-License-Identifier: GPL-2.0

//! How the driver of the model stores the entries of a requester, and what they say in the mode of the
//! unit.

use crate::caches_bugs::Bug;
use crate::caches_driver::{Driver, GEOMETRY};
use crate::caches_entries::Entries;
use crate::caches_hardware::Hardware;
use vtd_core::install::{
    entry_stores, write_scalable, ContextBits, RequesterEntry, ScalableMemory,
};
use vtd_core::spec::context::{ContextEntry, TranslationType};
use vtd_core::spec::pasid::PasidEntry;
use vtd_core::spec::registers::TranslationTableMode;

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
        place: impl Fn(&mut Entries, usize) -> &mut u64,
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

impl Driver {
    pub(crate) fn entry(&self, unit: usize, source: u16) -> RequesterEntry {
        let entries = &self.hw.units[unit].borrow().entries;
        let [low, high] = entries.context(source);
        match entries.mode() {
            TranslationTableMode::Legacy => ContextEntry::from_words(low, high).into(),
            TranslationTableMode::Scalable => RequesterEntry::Scalable {
                context: ContextBits {
                    present: low & 1 != 0,
                    fault_processing_disabled: low & 2 != 0,
                    device_tlb: low & 5 == 5,
                },
                pasid: entries.pasid(source),
            },
        }
    }

    /// `RequesterTables::set`.
    pub(crate) fn set(&self, unit: usize, source: u16, entry: RequesterEntry) {
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
    pub(crate) fn in_mode(&self, unit: usize, to: RequesterEntry) -> RequesterEntry {
        let RequesterEntry::Legacy(entry) = to else {
            return to;
        };
        let (width, id) = (GEOMETRY.width, entry.domain());
        let device_tlb = match entry.translation_type() {
            TranslationType::PassThrough => self.hw.has(Bug::DeviceTlbStaysAllowed),
            kind => kind == TranslationType::TranslateWithDeviceTlb,
        };
        let pasid = match (self.hw.mode(unit), entry.translation_type()) {
            (TranslationTableMode::Legacy, _) => return to,
            _ if !entry.is_present() => PasidEntry::ABSENT,
            (_, TranslationType::PassThrough) => PasidEntry::pass_through(width, id, false),
            _ => {
                PasidEntry::second_stage(entry.table(), width, id, false).expect("an aligned table")
            }
        };
        RequesterEntry::scalable(pasid, device_tlb)
    }
}
