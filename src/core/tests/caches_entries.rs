// SPDX-License-Identifier: GPL-2.0

//! The entries of the requesters of one unit, and what the unit has cached of them. In scalable mode
//! a cached context entry leads to the PASID entry of its requester, which the unit caches as well.
//!
//! The unit reads the two words of an entry that matter at different times: the word with the present
//! bit first, the other word at any time before an invalidation of that entry.

use std::collections::{BTreeMap, BTreeSet};
use vtd_core::spec::context::{ContextEntry, TranslationType};
use vtd_core::spec::invalidation::PasidScope;
use vtd_core::spec::level::AddressWidth;
use vtd_core::spec::pasid::{PasidEntry, PasidTranslation, PASID_ENTRY_WORDS};
use vtd_core::spec::registers::TranslationTableMode;
use vtd_core::spec::scope::{ContextScope, FunctionMask};

/// A cached entry: source-id, its first two words, the tag.
pub(crate) type Cached = (u16, [u64; 2], u16);

/// Where a walk of page tables begins: domain-id, width, table.
type Top = (u16, AddressWidth, u64);

/// The entries of one kind in memory, by source-id, and in the cache.
struct Kind<const WORDS: usize> {
    memory: BTreeMap<u16, [u64; WORDS]>,
    cached: BTreeSet<Cached>,
    /// The source-id and first word of entries whose second word the unit may still read.
    fetching: BTreeSet<(u16, u64)>,
}

impl<const WORDS: usize> Kind<WORDS> {
    fn new(sources: &[u16]) -> Self {
        Self {
            memory: sources.iter().map(|&source| (source, [0; WORDS])).collect(),
            cached: BTreeSet::new(),
            fetching: BTreeSet::new(),
        }
    }

    /// Caches all entries of `sources`. `tag` returns that of an entry that is present. `meaning`:
    /// the bits of an entry that is not present which have one.
    fn fill(
        &mut self,
        sources: impl Iterator<Item = u16>,
        caching_mode: bool,
        meaning: u64,
        tag: impl Fn([u64; 2]) -> u16,
    ) {
        for source in sources {
            let low = self.memory[&source][0];
            if low & 1 != 0 {
                self.fetching.insert((source, low));
            } else if caching_mode {
                self.cached.insert((source, [low & meaning, 0], 0));
            }
        }
        for &(source, low) in &self.fetching {
            let words = [low, self.memory[&source][1]];
            self.cached.insert((source, words, tag(words)));
        }
    }

    /// Drops what `hits`. Returns whether there was anything. `names` returns whether an entry that
    /// is being read is meant: by now, hardware has completed and cached it.
    fn invalidate(&mut self, hits: impl Fn(&Cached) -> bool, names: impl Fn(u16) -> bool) -> bool {
        let before = self.cached.len();
        self.cached.retain(|cached| !hits(cached));
        self.fetching.retain(|&(source, _)| !names(source));
        before != self.cached.len()
    }
}

/// The entries of a unit.
pub(crate) struct Entries {
    mode: TranslationTableMode,
    contexts: Kind<2>,
    pasids: Kind<PASID_ENTRY_WORDS>,
}

fn pasid_entry([low, second]: [u64; 2]) -> PasidEntry {
    PasidEntry::from_words([low, second, 0, 0, 0, 0, 0, 0])
}

impl Entries {
    pub(crate) fn new(mode: TranslationTableMode, sources: &[u16]) -> Self {
        Self {
            mode,
            contexts: Kind::new(sources),
            pasids: Kind::new(sources),
        }
    }

    pub(crate) fn mode(&self) -> TranslationTableMode {
        self.mode
    }

    pub(crate) fn context(&self, source: u16) -> [u64; 2] {
        self.contexts.memory[&source]
    }

    pub(crate) fn pasid(&self, source: u16) -> PasidEntry {
        PasidEntry::from_words(self.pasids.memory[&source])
    }

    pub(crate) fn context_word(&mut self, source: u16, word: usize) -> &mut u64 {
        &mut self
            .contexts
            .memory
            .get_mut(&source)
            .expect("a source of the test")[word]
    }

    pub(crate) fn pasid_word(&mut self, source: u16, word: usize) -> &mut u64 {
        &mut self
            .pasids
            .memory
            .get_mut(&source)
            .expect("a source of the test")[word]
    }

    fn is_scalable(&self) -> bool {
        self.mode == TranslationTableMode::Scalable
    }

    /// Caches all that the unit can reach, and returns the tops of the page tables, or an entry that
    /// is reserved.
    pub(crate) fn fill(&mut self, caching_mode: bool) -> Result<Vec<Top>, String> {
        let scalable = self.is_scalable();
        let sources: Vec<_> = self.contexts.memory.keys().copied().collect();
        // Only FPD has a meaning in a context entry that is not present. Those of scalable mode have
        // no domain-id.
        let tag = |[low, high]: [u64; 2]| match scalable {
            true => 0,
            false => ContextEntry::from_words(low, high).domain().raw(),
        };
        self.contexts
            .fill(sources.into_iter(), caching_mode, 2, tag);
        if !scalable {
            let cached = self.contexts.cached.iter();
            return cached
                .filter_map(|&(_, words, id)| legacy_top(words, id))
                .collect();
        }
        let present = self
            .contexts
            .cached
            .iter()
            .filter(|cached| cached.1[0] & 1 != 0);
        let sources: Vec<_> = present.map(|cached| cached.0).collect();
        let tag = |words| pasid_entry(words).domain().raw();
        self.pasids.fill(sources.into_iter(), caching_mode, 0, tag);
        let cached = self.pasids.cached.iter();
        cached
            .filter_map(|&(_, words, id)| scalable_top(words, id))
            .collect()
    }

    /// Returns whether something was dropped.
    pub(crate) fn invalidate_contexts(&mut self, scope: ContextScope) -> bool {
        let scalable = self.is_scalable();
        let names = |cached: u16| match scope {
            ContextScope::Global | ContextScope::Domain(_) => true,
            ContextScope::Device {
                source, functions, ..
            } => {
                let ignored = if functions == FunctionMask::EXACT {
                    0
                } else {
                    7
                };
                (cached ^ source.raw()) & !ignored == 0
            }
        };
        let hits = |&(cached, _, tag): &Cached| match scope {
            ContextScope::Global => true,
            ContextScope::Domain(id) => scalable || tag == id.raw(),
            ContextScope::Device { domain, .. } => {
                (scalable || tag == domain.raw()) && names(cached)
            }
        };
        self.contexts.invalidate(hits, names)
    }

    /// Returns whether something was dropped.
    pub(crate) fn invalidate_pasids(&mut self, scope: PasidScope) -> bool {
        let hits = |&(_, _, tag): &Cached| match scope {
            PasidScope::Global => true,
            PasidScope::Domain(id) | PasidScope::Pasid { domain: id, .. } => tag == id.raw(),
        };
        self.pasids.invalidate(hits, |_| true)
    }

    /// Returns whether a cached entry leads to the page table at `table`.
    pub(crate) fn leads_to(&self, table: u64) -> bool {
        let context = |&(_, [low, high], _): &Cached| {
            let entry = ContextEntry::from_words(low, high);
            entry.is_present() && entry.table().raw() == table
        };
        let pasid = |&(_, words, _): &Cached| {
            let entry = pasid_entry(words);
            entry.is_present() && entry.second_stage_table().raw() == table
        };
        match self.is_scalable() {
            true => self.pasids.cached.iter().any(pasid),
            false => self.contexts.cached.iter().any(context),
        }
    }

    /// Returns whether a cached context entry allows the device `source` to use its TLB.
    pub(crate) fn allows_device_tlb(&self, source: u16) -> bool {
        let allows = |[low, high]: [u64; 2]| match self.is_scalable() {
            true => low & 0b101 == 0b101,
            false => {
                let entry = ContextEntry::from_words(low, high);
                let kind = entry.translation_type();
                entry.is_present() && kind == TranslationType::TranslateWithDeviceTlb
            }
        };
        let mut cached = self.contexts.cached.iter();
        cached.any(|&(of, words, _)| of == source && allows(words))
    }

    /// Returns the domain-ids under which cached entries translate requests of `source`.
    pub(crate) fn ids_of(&self, source: u16) -> BTreeSet<u16> {
        let cached = match self.is_scalable() {
            true => self.pasids.cached.iter(),
            false => self.contexts.cached.iter(),
        };
        let present = cached.filter(|&&(of, words, _)| of == source && words[0] & 1 != 0);
        present.map(|cached| cached.2).collect()
    }

    /// Returns whether an entry is cached that is tagged with `id`.
    pub(crate) fn has_tag(&self, id: u16) -> bool {
        let tagged = |cached: &Cached| cached.2 == id;
        self.contexts.cached.iter().any(tagged) || self.pasids.cached.iter().any(tagged)
    }

    /// Returns a cached entry that memory does not hold, in words.
    pub(crate) fn stale(&self) -> Option<String> {
        let text = |kind, (source, words, tag): &Cached, memory: &[u64]| {
            format!(
                "the {kind} entry {words:x?} of {source:#x}, tagged {tag}; memory has {memory:x?}"
            )
        };
        for cached in &self.contexts.cached {
            let (source, [low, high], tag) = *cached;
            let now = self.contexts.memory[&source];
            let right = if low & 1 == 0 {
                // Of an entry that is not present, only FPD has a meaning.
                tag == 0 && now[0] & 1 == 0 && low == now[0] & 2
            } else {
                let id = ContextEntry::from_words(low, high).domain().raw();
                [low, high] == now && (self.is_scalable() || tag == id)
            };
            if !right {
                return Some(text("context", cached, &now));
            }
        }
        for cached in &self.pasids.cached {
            let (source, [low, second], tag) = *cached;
            let now = self.pasids.memory[&source];
            let reachable = self.contexts.memory[&source][0] & 1 != 0;
            let id = pasid_entry([low, second]).domain().raw();
            if !reachable || [low, second] != [now[0], now[1]] || tag != id {
                return Some(text("PASID", cached, &now));
            }
        }
        None
    }
}

fn legacy_top([low, high]: [u64; 2], id: u16) -> Option<Result<Top, String>> {
    let entry = ContextEntry::from_words(low, high);
    if !entry.is_present() || entry.translation_type() == TranslationType::PassThrough {
        return None;
    }
    let top = entry.width().map(|width| (id, width, entry.table().raw()));
    Some(top.ok_or(format!("context entry {low:#x} {high:#x} is reserved")))
}

fn scalable_top(words: [u64; 2], id: u16) -> Option<Result<Top, String>> {
    let entry = pasid_entry(words);
    let top = match entry.translation() {
        _ if !entry.is_present() => return None,
        PasidTranslation::PassThrough => return None,
        PasidTranslation::SecondStage => entry.width(),
        _ => None,
    };
    let top = top.map(|width| (id, width, entry.second_stage_table().raw()));
    Some(top.ok_or(format!("PASID entry {words:x?} is reserved")))
}
