// SPDX-License-Identifier: GPL-2.0

//! The state of a unit at one moment, for reports. Nothing here changes anything.
//!
//! A unit that is disabled or has failed is read like any other: its registers stay mapped as long
//! as the driver has the unit. While the machine is suspended no report is running.

use super::invalidation::Queue;
use super::registers::UnitRegisters;
use super::Unit;
use kernel::prelude::*;
use vtd_core::concurrent::queue::InvalidationQueue;
use vtd_core::describe::register::Register;
use vtd_core::spec::address::{PhysAddr, SourceId};
use vtd_core::spec::context::CONTEXT_ENTRIES;
use vtd_core::spec::context_lookup::LookupEntries;
use vtd_core::spec::registers::TranslationTableMode;
use vtd_core::spec::root::RootEntry;

/// The invalidation queue at one moment.
pub(crate) struct QueueSnapshot {
    /// The physical address of its slots.
    pub(crate) base: u64,
    /// The slot that hardware fetches next.
    pub(crate) head: u32,
    /// The first slot that hardware does not fetch.
    pub(crate) tail: u32,
    /// Descriptors submitted since the queue was turned on, modulo 2^32.
    pub(crate) submitted: u32,
    /// Those of them that hardware has completed.
    pub(crate) finished: u32,
    /// Whether the queue was aborted.
    pub(crate) aborted: bool,
    /// The contents of all slots.
    pub(crate) slots: KVec<[u64; 2]>,
}

impl QueueSnapshot {
    /// Returns the number of slots.
    fn count(&self) -> u32 {
        self.slots.len() as u32
    }

    /// Returns the slot of a descriptor, by its number.
    pub(crate) fn slot_of(&self, number: u32) -> u32 {
        number.checked_rem(self.count()).unwrap_or(0)
    }

    /// Returns the numbers of the last `most` descriptors, oldest first.
    pub(crate) fn last(&self, most: u32) -> impl Iterator<Item = u32> {
        let many = most.min(self.count()).min(self.submitted);
        let end = self.submitted;
        (1..=many).rev().map(move |back| end.wrapping_sub(back))
    }

    /// Returns the contents of a slot.
    pub(crate) fn slot(&self, slot: u32) -> [u64; 2] {
        let words = self.slots.get(slot as usize);
        words.copied().unwrap_or_default()
    }

    /// Returns whether hardware has not yet completed the descriptor in a slot.
    pub(crate) fn is_pending(&self, slot: u32) -> bool {
        let pending = self.submitted.wrapping_sub(self.finished);
        let from_finished = self.slot_of(slot.wrapping_sub(self.finished));
        from_finished < pending
    }
}

impl Queue {
    /// Copies the state of the queue.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    ///
    /// # Context
    ///
    /// May sleep.
    fn snapshot(&self, regs: &UnitRegisters) -> Result<QueueSnapshot> {
        let mut slots = KVec::with_capacity(self.slots() as usize, GFP_KERNEL)?;
        // Submitters may be waiting for the lock: only copy.
        Ok(self.state.with(|state| {
            for slot in 0..self.slots() {
                let _ = slots.push_within_capacity(self.read(slot));
            }
            QueueSnapshot {
                base: self.ring.phys(),
                head: self.head(regs),
                tail: self.tail(regs),
                submitted: state.submitted().wrapping_sub(state.first()),
                finished: self.finished().wrapping_sub(state.first()),
                aborted: state.is_aborted(),
                slots,
            }
        }))
    }
}

/// The root and context entries of one bus.
pub(crate) struct BusSnapshot {
    /// The bus.
    pub(crate) bus: u8,
    /// Its root entry.
    pub(crate) root: RootEntry,
    /// The entries of its requesters whose context entry is not zero, each with the number of
    /// devices that use it.
    pub(crate) entries: KVVec<(SourceId, LookupEntries, u16)>,
}

impl BusSnapshot {
    /// Returns the context tables of the bus: two in scalable mode, at most one in legacy mode.
    pub(crate) fn context_tables(&self, mode: TranslationTableMode) -> [Option<PhysAddr>; 2] {
        let upper = match mode {
            TranslationTableMode::Legacy => None,
            TranslationTableMode::Scalable => self.root.context_table(mode, u8::MAX),
        };
        [self.root.context_table(mode, 0), upper]
    }
}

/// The root entry and the further entries of one requester.
pub(crate) struct RequesterEntries {
    /// The root entry of its bus.
    pub(crate) root: RootEntry,
    /// The physical address of that root entry.
    pub(crate) root_at: u64,
    /// Its other entries.
    pub(crate) lookup: LookupEntries,
}

impl RequesterEntries {
    /// Returns the physical address of the context entry of `source`, if its bus has a context
    /// table.
    pub(crate) fn context_at(&self, source: SourceId) -> Option<u64> {
        let (mode, devfn) = (self.lookup.mode(), source.devfn());
        let table = self.root.context_table(mode, devfn)?.raw();
        Some(match mode {
            TranslationTableMode::Legacy => table + u64::from(devfn) * 16,
            TranslationTableMode::Scalable => table + u64::from(devfn & 0x7f) * 32,
        })
    }
}

impl Unit {
    /// Reads the entries of `source`.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn entries(&self, source: SourceId) -> RequesterEntries {
        let state = self.tables.lock();
        RequesterEntries {
            root: self.root.get(source.bus()),
            root_at: self.root_table() + u64::from(source.bus()) * 16,
            lookup: state.tables.lookup(source),
        }
    }

    /// Reads a register. Past the end of the mapped set it returns all ones, as absent hardware
    /// does.
    pub(crate) fn read(&self, register: Register) -> u64 {
        match register {
            Register::Narrow(register) => u64::from(self.regs.read32(register)),
            Register::Wide(register) => self.regs.read64(register),
        }
    }

    /// Returns whether translation is on. A unit that does not respond translates nothing.
    pub(crate) fn is_translating(&self) -> bool {
        let status = self.regs.status();
        status.raw() != u32::MAX && status.translation_enabled()
    }

    /// Returns the unit's state in a word or two.
    pub(crate) fn state_name(&self) -> &'static str {
        if self.state.is_disabled() {
            "disabled"
        } else if self.state.is_enabled() {
            "enabled"
        } else {
            "failed (all requesters blocked)"
        }
    }

    /// Copies the state of the invalidation queue; [`None`] for a unit that does not use one.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn queue_snapshot(&self) -> Result<Option<QueueSnapshot>> {
        let queue = self.invalidator.queue.as_deref();
        queue.map(|queue| queue.snapshot(&self.regs)).transpose()
    }

    /// Returns the physical address of the root table.
    pub(crate) fn root_table(&self) -> u64 {
        self.root.address().raw()
    }

    /// Copies the entries of the first bus from `from` on that has a context table.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn next_bus_snapshot(&self, from: u8) -> Result<Option<BusSnapshot>> {
        let mut entries = KVVec::with_capacity(CONTEXT_ENTRIES, GFP_KERNEL)?;
        let state = self.tables.lock();
        let Some(bus) = state.tables.next_bus(from) else {
            return Ok(None);
        };
        for devfn in 0..=u8::MAX {
            let source = SourceId::from_bus_devfn(bus, devfn);
            let entry = state.tables.lookup(source);
            if entry.context_words() != [0; 4] {
                let _ = entries.push_within_capacity((source, entry, state.uses.get(source)));
            }
        }
        Ok(Some(BusSnapshot {
            bus,
            root: self.root.get(bus),
            entries,
        }))
    }
}
