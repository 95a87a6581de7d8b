// SPDX-License-Identifier: GPL-2.0

//! Units that cache everything that the specification allows, as early and as long as it allows.
//!
//! A real unit caches a part of what it could cache. This model caches all of it: after every store
//! and every descriptor, it reads everything that it can reach, from context entries in memory,
//! from cached entries and from cached links (VT-d 6.2), and adds what it finds. Nothing is evicted. So the sets of
//! this model hold everything that *some* unit could still use. A descriptor that is missing, late,
//! too narrow or in the wrong order leaves something in them.

use crate::caches_bugs::Bug;
use crate::caches_device_tlbs::{DeviceTlbs, Tlb};
use crate::caches_entries::Entries;
use crate::caches_queue::Queue;
use crate::pgtable_arena::{Arena, PageId};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use vtd_core::spec::capability::Capability;
use vtd_core::spec::level::AddressWidth;
use vtd_core::spec::registers::TranslationTableMode;
use vtd_core::spec::scope::IotlbScope;

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
    /// The number of times that devices did not answer.
    pub(crate) time_outs: u32,
}

/// One unit: the entries of its requesters, and its caches.
pub(crate) struct Unit {
    pub(crate) cap: Capability,
    pub(crate) entries: Entries,
    pub(crate) leaves: BTreeSet<Leaf>,
    pub(crate) links: BTreeSet<Link>,
    pub(crate) absences: BTreeSet<Absence>,
    /// The TLBs of the devices.
    pub(crate) tlbs: Vec<Tlb>,
    /// Whether the unit names the device that did not answer (ITESID).
    pub(crate) names_silent: bool,
    pub(crate) queue: Queue,
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
    /// What the driver has of the TLBs of devices.
    pub(crate) device_tlbs: DeviceTlbs,
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
                tlbs: Vec::new(),
                names_silent: false,
                queue: Queue::default(),
                buffered: false,
                counts: Counts::default(),
            })
        };
        Self {
            arena: Arena::new(4096),
            units: units.iter().map(unit).collect(),
            probes: RefCell::default(),
            device_tlbs: DeviceTlbs::default(),
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

    pub(crate) fn fill_caches_of(&self, unit: usize) {
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
        unit.fill_tlbs();
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
    pub(crate) fn invalidate_iotlb(&mut self, scope: IotlbScope) {
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

    pub(crate) fn count(&mut self, did_something: bool) {
        self.counts.descriptors += 1;
        self.counts.vain += u32::from(!did_something);
    }
}
