// SPDX-License-Identifier: GPL-2.0

//! Units that cache everything that the specification allows, as early and as long as it allows.
//!
//! A real unit caches a part of what it could cache. This model caches all of it: after every store
//! and every descriptor, it reads everything that it can reach, from context entries in memory,
//! from cached entries and from cached links (VT-d 6.2), and adds what it finds. Nothing is evicted. So the sets of
//! this model hold everything that *some* unit could still use. A descriptor that is missing, late,
//! too narrow or in the wrong order leaves something in them.

use crate::caches_bugs::Bug;
use crate::caches_entries::Entries;
use crate::pgtable_arena::{Arena, PageId};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use vtd_core::invalidation::InvalidationStep;
use vtd_core::spec::address::PhysAddr;
use vtd_core::spec::capability::Capability;
use vtd_core::spec::descriptor::{Descriptor, InvalidationEncoder};
use vtd_core::spec::invalidation::{Invalidation, PasidScope};
use vtd_core::spec::level::AddressWidth;
use vtd_core::spec::registers::TranslationTableMode;
use vtd_core::spec::scope::{Drain, IotlbScope};

/// The address bits of an entry.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// The page-size bit of a directory entry.
const LARGE: u64 = 0x80;

/// A cached translation: domain-id, first byte, length, memory, permissions.
pub(crate) type Leaf = (u16, u64, u64, u64, u64);
/// A cached link, or the table of a context entry: domain-id, level, first address and physical
/// address of the table to which it leads.
pub(crate) type Link = (u16, u32, u64, u64);
/// A cached entry that is not present (caching mode only): domain-id, level of the entry, its first
/// address.
pub(crate) type Absence = (u16, u32, u64);

/// A unit: its capabilities, and its mode.
pub(crate) type Kind = (Capability, TranslationTableMode);

/// The effects of the descriptors of one request.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) descriptors: u32,
    /// The number of invalidations that removed nothing.
    pub(crate) vain: u32,
    /// The number of translations and links that IOTLB invalidations removed.
    pub(crate) leaves: Vec<Leaf>,
    pub(crate) links: u32,
}

/// One unit: the entries of its requesters, and its caches.
pub(crate) struct Unit {
    pub(crate) cap: Capability,
    pub(crate) entries: Entries,
    pub(crate) leaves: BTreeSet<Leaf>,
    pub(crate) links: BTreeSet<Link>,
    pub(crate) absences: BTreeSet<Absence>,
    queue: VecDeque<[u64; 2]>,
    /// The stores that may still be in the write buffer of a unit with `CAP.RWBF`.
    pub(crate) buffered: bool,
    pub(crate) counts: Counts,
}

/// All units and the memory that they read.
pub(crate) struct Hardware {
    pub(crate) arena: Arena,
    pub(crate) units: Vec<RefCell<Unit>>,
    /// The addresses at which caching mode caches entries that are not present: those of requests.
    pub(crate) probes: RefCell<BTreeSet<u64>>,
    /// The first problem.
    problem: RefCell<Option<String>>,
    /// The bug of the driver.
    pub(crate) bug: Bug,
    pub(crate) bug_was_made: Cell<bool>,
    /// Whether the next write-back is of entries that were set to 0.
    pub(crate) cleared: Cell<bool>,
    /// Whether a deferred unmap is in progress.
    pub(crate) deferred: Cell<bool>,
}

impl Hardware {
    pub(crate) fn new(units: &[Kind], sources: &[u16], bug: Bug) -> Self {
        let unit = |&(cap, mode): &Kind| {
            RefCell::new(Unit {
                cap,
                entries: Entries::new(mode, sources),
                leaves: BTreeSet::new(),
                links: BTreeSet::new(),
                absences: BTreeSet::new(),
                queue: VecDeque::new(),
                buffered: false,
                counts: Counts::default(),
            })
        };
        Self {
            arena: Arena::new(4096),
            units: units.iter().map(unit).collect(),
            probes: RefCell::default(),
            problem: RefCell::default(),
            bug,
            bug_was_made: Cell::new(false),
            cleared: Cell::new(false),
            deferred: Cell::new(false),
        }
    }

    /// Returns whether the driver has this bug and shows it now.
    pub(crate) fn has(&self, bug: Bug) -> bool {
        let made = self.bug == bug;
        if made {
            self.bug_was_made.set(true);
        }
        made
    }

    /// A deferred unmap begins or ends, whose entries a mistake does not write back.
    pub(crate) fn defer_write_back(&self, deferred: bool) {
        self.deferred.set(deferred);
    }

    pub(crate) fn cap(&self, unit: usize) -> Capability {
        self.units[unit].borrow().cap
    }

    pub(crate) fn report_problem(&self, problem: String) {
        self.problem.borrow_mut().get_or_insert(problem);
    }

    pub(crate) fn problem(&self) -> Option<String> {
        self.problem.borrow().clone()
    }

    pub(crate) fn mode(&self, unit: usize) -> TranslationTableMode {
        self.units[unit].borrow().entries.mode()
    }

    /// Stores one word of an entry, which `word` returns.
    pub(crate) fn store(
        &self,
        unit: usize,
        word: impl FnOnce(&mut Entries) -> &mut u64,
        value: u64,
    ) {
        let mut it = self.units[unit].borrow_mut();
        *word(&mut it.entries) = value;
        it.buffered |= it.cap.needs_write_buffer_flush();
        drop(it);
        self.fill_caches();
    }

    /// Lets every unit read all that it can reach.
    pub(crate) fn fill_caches(&self) {
        for unit in 0..self.units.len() {
            self.fill_caches_of(unit);
        }
    }

    fn fill_caches_of(&self, unit: usize) {
        let unit = &mut *self.units[unit].borrow_mut();
        let caching_mode = unit.cap.caching_mode();
        let tops = match unit.entries.fill(caching_mode) {
            Ok(tops) => tops,
            Err(problem) => return self.report_problem(problem),
        };
        let mut todo: Vec<Link> = unit.links.iter().copied().collect();
        let level = |width: AddressWidth| u32::from(width.top().number());
        todo.extend(
            tops.into_iter()
                .map(|(id, width, at)| (id, level(width), 0, at)),
        );
        let mut seen = BTreeSet::new();
        while let Some(link) = todo.pop() {
            if seen.insert(link) {
                self.read_table(unit, link, caching_mode, &mut todo);
            }
        }
    }

    fn read_table(&self, unit: &mut Unit, link: Link, caching_mode: bool, todo: &mut Vec<Link>) {
        let (id, level, base, table) = link;
        let span = 1u64 << (12 + 9 * (level - 1));
        for index in 0..512 {
            let Some(entry) = self.arena.hardware_read(table + index * 8) else {
                return self.report_problem(format!("a unit reads the freed table {table:#x}"));
            };
            let first = base + index * span;
            if entry & 3 == 0 {
                continue;
            }
            if level == 1 || entry & LARGE != 0 {
                unit.leaves
                    .insert((id, first, span, entry & ADDRESS, entry & 3));
            } else {
                let child = (id, level - 1, first, entry & ADDRESS);
                unit.links.insert(child);
                todo.push(child);
            }
        }
        if caching_mode {
            for &probe in self.probes.borrow().range(base..base + 512 * span) {
                let index = (probe - base) / span;
                if self.arena.hardware_read(table + index * 8) == Some(0) {
                    unit.absences.insert((id, level, base + index * span));
                }
            }
        }
    }

    /// Checks, after the steps that follow a store, that the write buffer holds nothing of it.
    pub(crate) fn must_be_written(&self, unit: usize) {
        if self.units[unit].borrow().buffered {
            self.report_problem(format!("unit {unit} has stores in its write buffer"));
        }
    }

    /// Does the same as `Unit::perform`: flushes and invalidations in their order, one wait at the
    /// end.
    pub(crate) fn perform(&self, unit: usize, steps: impl Iterator<Item = InvalidationStep>) {
        let mut batch = Vec::new();
        for step in steps {
            let invalidation = match step {
                InvalidationStep::FlushWriteBuffer if self.has(Bug::WriteBufferNotFlushed) => {
                    continue
                }
                InvalidationStep::FlushWriteBuffer => {
                    self.units[unit].borrow_mut().buffered = false;
                    continue;
                }
                InvalidationStep::Invalidate(invalidation) => invalidation,
            };
            match invalidation {
                Invalidation::Context(_) if self.has(Bug::ContextNotFlushed) => {}
                Invalidation::Pasid(_) if self.has(Bug::PasidCacheNotFlushed) => {}
                Invalidation::Iotlb(_) if self.has(Bug::IotlbNotFlushedWithContext) => {}
                what => batch.push(what),
            }
        }
        if batch.len() > 1 && self.has(Bug::IotlbBeforeContext) {
            batch.reverse();
        }
        if batch.len() > 2 && self.has(Bug::PasidCacheFlushedFirst) {
            batch.swap(0, 1);
        }
        self.submit(unit, &batch);
    }

    /// Does the same as `Queue::submit`.
    pub(crate) fn submit(&self, unit: usize, batch: &[Invalidation]) {
        self.begin(unit, batch);
        self.finish(unit);
    }

    /// Writes descriptors and a wait into the queue of a unit.
    pub(crate) fn begin(&self, unit: usize, batch: &[Invalidation]) {
        if batch.is_empty() {
            return;
        }
        let encoder = InvalidationEncoder::new(Drain::of(self.cap(unit)));
        let twice = if self.has(Bug::EverythingTwice) { 2 } else { 1 };
        for _ in 0..twice {
            let words = batch.iter().map(|what| encoder.encode(*what));
            self.units[unit].borrow_mut().queue.extend(words);
        }
        if self.has(Bug::WaitLeftOut) {
            return;
        }
        let wait = Descriptor::wait(PhysAddr::new(0x1000), 1).expect("an aligned address");
        self.units[unit].borrow_mut().queue.push_back(wait.encode());
    }

    /// Waits for a unit. Hardware is slow: it begins only then.
    pub(crate) fn finish(&self, unit: usize) {
        if self.has(Bug::WaitLeftOut) {
            return;
        }
        loop {
            let next = self.units[unit].borrow_mut().queue.pop_front();
            let Some(words) = next else { break };
            self.execute(unit, words);
            self.fill_caches_of(unit);
        }
    }

    fn execute(&self, unit: usize, words: [u64; 2]) {
        let unit = &mut *self.units[unit].borrow_mut();
        let [low, high] = words;
        let decoded = match unit.entries.mode() {
            TranslationTableMode::Legacy => Descriptor::decode(words),
            TranslationTableMode::Scalable => Descriptor::decode_wide([low, high, 0, 0]),
        };
        match decoded {
            Ok(Descriptor::Invalidate(Invalidation::Context(scope), _)) => {
                let did = unit.entries.invalidate_contexts(scope);
                unit.count(did);
            }
            Ok(Descriptor::Invalidate(Invalidation::Pasid(scope), _)) => {
                let did = unit.entries.invalidate_pasids(scope);
                // The driver does not know whether an absent entry was cached.
                unit.count(did || scope == PasidScope::Global);
            }
            Ok(Descriptor::Invalidate(Invalidation::Iotlb(scope), _)) => {
                if let IotlbScope::Pages { block, .. } = scope {
                    if !unit.cap.page_selective()
                        || block.address_mask() > unit.cap.max_address_mask()
                    {
                        self.report_problem(format!("the unit cannot do {scope:?}"));
                    }
                }
                unit.invalidate_iotlb(scope);
            }
            Ok(Descriptor::Wait { .. }) => {}
            other => self.report_problem(format!("the unit is given {other:?}")),
        }
    }

    /// Frees a table that no cache of hardware should still hold.
    pub(crate) fn free(&self, page: PageId) {
        let at = page.phys();
        for (number, unit) in self.units.iter().enumerate() {
            let unit = unit.borrow();
            let by_link = unit.links.iter().any(|link| link.3 == at);
            let by_context = unit.entries.leads_to(at);
            if by_link || by_context {
                self.report_problem(format!(
                    "unit {number} can reach table {at:#x} as it is freed"
                ));
            }
        }
        self.arena.retire(page);
    }
}

impl Unit {
    fn invalidate_iotlb(&mut self, scope: IotlbScope) {
        let hits = |id: u16, first: u64, bytes: u64, is_leaf: bool| match scope {
            IotlbScope::Global => true,
            IotlbScope::Domain(domain) => id == domain.raw(),
            IotlbScope::Pages {
                domain,
                block,
                leaves_only,
            } => {
                let meets = first <= block.last().raw() && block.address().raw() < first + bytes;
                id == domain.raw() && meets && (is_leaf || !leaves_only)
            }
        };
        let counts = &mut self.counts;
        let (leaves, links) = (counts.leaves.len(), counts.links);
        self.leaves.retain(|leaf| {
            let hit = hits(leaf.0, leaf.1, leaf.2, true);
            if hit {
                counts.leaves.push(*leaf);
            }
            !hit
        });
        self.links.retain(|&(id, level, first, _)| {
            let hit = hits(id, first, 1 << (12 + 9 * level), false);
            counts.links += u32::from(hit);
            !hit
        });
        let before = self.absences.len();
        // A directory entry may have been cached as not present before a table was linked.
        self.absences.retain(|&(id, level, first)| {
            !hits(id, first, 1 << (12 + 9 * (level - 1)), level == 1)
        });
        let did = counts.leaves.len() != leaves || counts.links != links;
        let absent = before != self.absences.len();
        self.count(did || absent);
    }

    fn count(&mut self, did_something: bool) {
        self.counts.descriptors += 1;
        self.counts.vain += u32::from(!did_something);
    }
}
