// SPDX-License-Identifier: GPL-2.0

//! Context tables and PASID tables in scalable mode (VT-d 3.4.3, 9.4 to 9.6).
//!
//! Each requester ID has its own PASID directory: a device behind a PCI bridge shares its requester
//! ID, and the tables belong to that, not to the device.
//!
//! # Invariants
//!
//! - A context entry is present only while a device uses its requester ID, and leads to the directory
//!   in `requesters`. All other requesters are blocked.
//! - The directory and the first table of a requester are freed with the unit only.
//! - A PASID entry changes only while the context entry is not present, as
//!   [`vtd_core::install`] describes.

use super::root::{zeroed_pages, RootTable};
use super::write_entry;
use crate::unit::present_word::PresentWord;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel_ext::pages::{NumaNode, Pages, PAGE_SIZE};
use vtd_core::install::{write_scalable, ContextBits, RequesterEntry, ScalableMemory};
use vtd_core::spec::address::{Pasid, PhysAddr, SourceId};
use vtd_core::spec::context_lookup::LookupEntries;
use vtd_core::spec::pasid::{PasidDirectoryEntry, PasidEntry, PasidIndex, PASID_ENTRY_WORDS};
use vtd_core::spec::root::ROOT_ENTRIES;
use vtd_core::spec::scalable_context::{
    ScalableContextEntry, SCALABLE_CONTEXT_ENTRIES, SCALABLE_CONTEXT_WORDS,
};

/// log2 of the pages that a requester needs: its directory, and the first table.
const PASID_ORDER: u32 = 1;

/// The first word of the first table, behind the directory.
const FIRST_TABLE: usize = PAGE_SIZE / 8;

/// The functions of half a bus.
struct HalfBus {
    /// The context table.
    context: Arc<Pages>,
    /// The directory and the first PASID table of each requester ID that was ever attached.
    requesters: KBox<[Option<Pages>; SCALABLE_CONTEXT_ENTRIES]>,
}

/// The tables of one unit, two halves for each bus.
pub(crate) struct ScalableTables {
    halves: KVVec<Option<HalfBus>>,
    coherent: bool,
    node: NumaNode,
}

/// Returns the index of a requester within its half of the bus.
fn index(source: SourceId) -> usize {
    usize::from(source.devfn()) % SCALABLE_CONTEXT_ENTRIES
}

impl ScalableTables {
    /// Creates the set without tables: every requester is blocked. `coherent`: the unit snoops the
    /// CPU caches when it walks.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(super) fn new(coherent: bool, node: NumaNode) -> Result<Self> {
        let mut halves = KVVec::with_capacity(2 * ROOT_ENTRIES, GFP_KERNEL)?;
        for _ in 0..2 * ROOT_ENTRIES {
            halves.push(None, GFP_KERNEL)?;
        }
        Ok(ScalableTables {
            halves,
            coherent,
            node,
        })
    }

    fn half(&self, source: SourceId) -> Option<&HalfBus> {
        let half = usize::from(source.raw()) / SCALABLE_CONTEXT_ENTRIES;
        self.halves.get(half)?.as_ref()
    }

    fn requester(&self, source: SourceId) -> Option<&Pages> {
        self.half(source)?.requesters.get(index(source))?.as_ref()
    }

    /// Returns whether the bus has a context table.
    pub(super) fn has_bus(&self, bus: u8) -> bool {
        let of = |devfn| self.half(SourceId::from_bus_devfn(bus, devfn)).is_some();
        of(0) || of(u8::MAX)
    }

    /// Allocates the context table for `source`, unless it exists, and links it in `root`.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(super) fn prepare_context(&mut self, root: &RootTable, source: SourceId) -> Result {
        let half = usize::from(source.raw()) / SCALABLE_CONTEXT_ENTRIES;
        let slot = self.halves.get_mut(half).ok_or(EINVAL)?;
        if slot.is_none() {
            let context = Arc::new(zeroed_pages(self.node, 0, self.coherent)?, GFP_KERNEL)?;
            let none = pin_init::init_array_from_fn(|_| Ok::<_, Error>(None));
            let half = slot.insert(HalfBus {
                context,
                requesters: KBox::init(none, GFP_KERNEL)?,
            });
            root.link(source, &half.context)?;
        }
        Ok(())
    }

    /// Allocates what [`Self::set`] needs for `source`, unless it exists.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(super) fn prepare(&mut self, root: &RootTable, source: SourceId) -> Result {
        self.prepare_context(root, source)?;
        if self.requester(source).is_some() {
            return Ok(());
        }
        let pages = zeroed_pages(self.node, PASID_ORDER, self.coherent)?;
        let table = PhysAddr::new(pages.phys() + PAGE_SIZE as u64);
        let link = PasidDirectoryEntry::new(table).ok_or(EINVAL)?;
        let at = PasidIndex::of(Pasid::RID_PASID).directory;
        write_entry(&pages, at, [link.raw()], self.coherent);
        let half = usize::from(source.raw()) / SCALABLE_CONTEXT_ENTRIES;
        let half = self.halves.get_mut(half).and_then(Option::as_mut);
        let slot = half.and_then(|half| half.requesters.get_mut(index(source)));
        *slot.ok_or(EINVAL)? = Some(pages);
        Ok(())
    }

    fn context(&self, source: SourceId) -> ScalableContextEntry {
        let at = index(source) * SCALABLE_CONTEXT_WORDS;
        self.half(source)
            .map_or(ScalableContextEntry::ABSENT, |half| {
                ScalableContextEntry::from_words(core::array::from_fn(|word| {
                    half.context.read(at + word)
                }))
            })
    }

    /// Returns the word with the present bit of `source`'s context entry, if its context table
    /// [exists](Self::prepare_context).
    pub(super) fn present_word(&self, source: SourceId) -> Option<PresentWord> {
        let at = index(source) * SCALABLE_CONTEXT_WORDS;
        let pages = self.half(source)?.context.clone();
        Some(PresentWord::new(pages, at, self.coherent))
    }

    fn pasid_entry(pages: &Pages) -> PasidEntry {
        let at = FIRST_TABLE + PasidIndex::of(Pasid::RID_PASID).table * PASID_ENTRY_WORDS;
        PasidEntry::from_words(core::array::from_fn(|word| pages.read(at + word)))
    }

    /// Returns the entries of `source` as a unit reads them.
    pub(super) fn lookup(&self, source: SourceId) -> LookupEntries {
        let pages = self.requester(source);
        LookupEntries::Scalable {
            context: self.context(source),
            directory: pages.map_or_else(Default::default, |pages| {
                let at = PasidIndex::of(Pasid::RID_PASID).directory;
                PasidDirectoryEntry::from_raw(pages.read(at))
            }),
            pasid: pages.map_or(PasidEntry::ABSENT, Self::pasid_entry),
        }
    }

    /// Writes the entry of `source`, which was [prepared](Self::prepare). One that blocks the
    /// requester needs only the [context table](Self::prepare_context).
    ///
    /// Only the low word of a context entry is ever other than 0, so a unit never reads a part of an
    /// older one.
    pub(super) fn set(&mut self, source: SourceId, entry: RequesterEntry) {
        let RequesterEntry::Scalable { context, pasid } = entry else {
            return;
        };
        let mut memory = EntryMemory {
            tables: self,
            source,
        };
        write_scalable(&mut memory, context, pasid);
    }
}

/// The entries of one requester ID.
struct EntryMemory<'a> {
    tables: &'a ScalableTables,
    source: SourceId,
}

impl ScalableMemory for EntryMemory<'_> {
    fn write_context(&mut self, bits: ContextBits) {
        let (tables, source) = (self.tables, self.source);
        let directory = tables
            .requester(source)
            .and_then(|pages| ScalableContextEntry::new(PhysAddr::new(pages.phys())));
        let context = match directory {
            Some(context) if bits.present => context.with_device_tlb(bits.device_tlb),
            _ => ScalableContextEntry::ABSENT,
        }
        .with_fault_processing_disabled(bits.fault_processing_disabled);
        if let Some(half) = tables.half(source) {
            let at = index(source) * SCALABLE_CONTEXT_WORDS;
            write_entry(&half.context, at, context.words(), tables.coherent);
        }
    }

    fn write_pasid(&mut self, entry: PasidEntry) {
        let Some(pages) = self.tables.requester(self.source) else {
            return;
        };
        if ScalableTables::pasid_entry(pages) != entry {
            let at = FIRST_TABLE + PasidIndex::of(Pasid::RID_PASID).table * PASID_ENTRY_WORDS;
            write_entry(pages, at, entry.words(), self.tables.coherent);
        }
    }
}
