// SPDX-License-Identifier: GPL-2.0

//! The interrupt remapping table of one unit, and the changes of its entries.
//!
//! # Order
//!
//! An entry is taken, and gets its source check while it is absent. It becomes present when its
//! interrupt is activated. Each change is followed by an invalidation of the unit's cache of
//! interrupt entries, and has taken effect when that is confirmed. An entry is free only after an
//! invalidation has confirmed that it is absent.
//!
//! A table that is full is replaced by a larger one, while interrupts arrive: the larger one gives
//! the same results (VT-d 11.4.4.1, SIRTP).
//!
//! # Locks
//!
//! The entries have a lock, with which the table is also replaced. The lock of the table is taken
//! within it, and held until hardware has accepted a table, so that no entry is changed only in a
//! table that hardware does not use. It is not held during an invalidation: one that fails takes
//! it, to make all entries absent.

use super::interrupt_entries::InterruptEntries;
use crate::spec::address::{PhysAddr, SourceId};
use crate::spec::interrupt::{table_address, ApicMode, InterruptEntry, MAX_ENTRIES};
use core::ops::DerefMut;

/// The memory of a table.
pub trait TableMemory {
    /// The number of entries in one page.
    const PER_PAGE: usize;

    /// Returns the physical address.
    fn phys(&self) -> u64;

    /// Reads one word.
    fn read(&self, word: usize) -> u64;

    /// Writes one word; stores become visible to hardware in their order.
    fn write(&self, word: usize, value: u64);

    /// Makes `count` words from `first` visible to hardware.
    fn flush(&self, first: usize, count: usize);
}

/// The table of one unit.
///
/// # Invariants
///
/// The upper half of an entry, which says who may use it, is only written while the entry is
/// absent and no unit has it cached. An entry becomes present, changes and becomes absent by one
/// store of its lower half.
pub struct InterruptTable<M> {
    memory: M,
    /// The table has 2^order pages.
    order: u32,
    /// How destinations are encoded.
    mode: ApicMode,
    /// Whether the unit has failed: no entry may become present.
    blocked: bool,
}

impl<M: TableMemory> InterruptTable<M> {
    /// Creates a table in 2^`order` pages of zeroed memory: all entries are absent.
    pub fn new(memory: M, order: u32) -> Self {
        let table = InterruptTable {
            memory,
            order,
            mode: ApicMode::XApic,
            blocked: false,
        };
        table.flush(0, table.count());
        table
    }

    /// Returns the number of entries.
    pub fn count(&self) -> usize {
        M::PER_PAGE << self.order
    }

    /// Returns the number of pages, as a power of two.
    pub fn order(&self) -> u32 {
        self.order
    }

    /// Returns how destinations are encoded.
    pub fn mode(&self) -> ApicMode {
        self.mode
    }

    /// Sets how destinations are encoded, while all entries are absent.
    pub fn set_mode(&mut self, mode: ApicMode) {
        self.mode = mode;
    }

    /// Returns the value of IRTA for this table.
    pub fn address(&self) -> Option<u64> {
        table_address(PhysAddr::new(self.memory.phys()), self.order, self.mode)
    }

    /// Returns the physical address.
    pub fn phys(&self) -> u64 {
        self.memory.phys()
    }

    /// Returns an entry.
    pub fn get(&self, index: usize) -> InterruptEntry {
        InterruptEntry {
            low: self.memory.read(index * 2),
            high: self.memory.read(index * 2 + 1),
        }
    }

    /// Makes all entries absent for good.
    pub fn block(&mut self) {
        self.blocked = true;
        for index in 0..self.count() {
            self.memory.write(index * 2, InterruptEntry::ABSENT.low);
        }
        self.flush(0, self.count());
    }

    /// Writes the lower half of an entry; 0 makes it absent. Does nothing if the unit has failed.
    fn set_low(&self, index: usize, low: u64) {
        if !self.blocked {
            self.memory.write(index * 2, low);
            self.flush(index, 1);
        }
    }

    /// Writes the upper half of an entry that is absent and not cached.
    fn set_high(&self, index: usize, high: u64) {
        self.memory.write(index * 2 + 1, high);
        self.flush(index, 1);
    }

    /// Makes `larger` give the same results as this table.
    fn copy_to(&self, larger: &mut Self) {
        larger.mode = self.mode;
        larger.blocked = self.blocked;
        for index in 0..self.count() {
            let entry = self.get(index);
            larger.memory.write(index * 2 + 1, entry.high);
            larger.memory.write(index * 2, entry.low);
        }
        larger.flush(0, self.count());
    }

    fn flush(&self, first: usize, count: usize) {
        self.memory.flush(first * 2, count * 2);
    }
}

/// A unit that remaps interrupts.
pub trait RemappingUnit {
    /// The memory of its table.
    type Memory: TableMemory;

    /// The reason why hardware did not do a step.
    type Error;

    /// Calls `work` with the table locked.
    fn locked<R>(&self, work: impl FnOnce(&mut InterruptTable<Self::Memory>) -> R) -> R;

    /// Makes hardware use a table, which is locked, if hardware uses any. Returns whether hardware
    /// accepted it.
    fn set_table(&self, table: &InterruptTable<Self::Memory>) -> bool;

    /// Fails the unit, which did not accept a table. Returns the error to report.
    fn fail(&self) -> Self::Error;

    /// Invalidates `count` entries from `first`, all of the machine's at most, and waits until
    /// hardware has confirmed it.
    ///
    /// # Errors
    ///
    /// The unit has failed, and all entries are absent.
    fn invalidate(&self, first: usize, count: usize) -> Result<(), Self::Error>;
}

/// Takes `count` entries for `owner`, whose upper halves are to be `high`, from the table as it is.
/// They are absent. Returns the first one; [`None`] if there are none. `entries` are locked.
pub fn take<O: DerefMut<Target = [Option<SourceId>]>>(
    unit: &impl RemappingUnit,
    entries: &mut InterruptEntries<O>,
    count: usize,
    owner: SourceId,
    high: u64,
) -> Option<usize> {
    let first = entries.take(count, owner)?;
    unit.locked(|table| {
        for index in first..first + count {
            table.set_high(index, high);
        }
    });
    Some(first)
}

/// Frees `count` entries from `first`, once hardware does not use them any more. `entries` are
/// locked.
pub fn free<O: DerefMut<Target = [Option<SourceId>]>>(
    unit: &impl RemappingUnit,
    entries: &mut InterruptEntries<O>,
    first: usize,
    count: usize,
) {
    unit.locked(|table| {
        for index in first..first + count {
            table.set_low(index, InterruptEntry::ABSENT.low);
        }
    });
    // After an error all entries are absent.
    let _ = unit.invalidate(first, count);
    unit.locked(|table| {
        for index in first..first + count {
            table.set_high(index, InterruptEntry::ABSENT.high);
        }
    });
    entries.free(first, count);
}

/// Changes the lower half of an entry to what `low` returns for the table, and waits until hardware
/// uses it. Returns whether it changed: not if that is [`None`].
///
/// # Errors
///
/// The unit has failed, and all entries are absent.
pub fn change<U: RemappingUnit>(
    unit: &U,
    index: usize,
    low: impl FnOnce(&InterruptTable<U::Memory>) -> Option<u64>,
) -> Result<bool, U::Error> {
    let changed = unit.locked(|table| low(table).map(|low| table.set_low(index, low)));
    match changed {
        Some(()) => unit.invalidate(index, 1).map(|()| true),
        None => Ok(false),
    }
}

/// Replaces the table by a `larger` one, which has no entries yet. The entries are locked. The old
/// table is freed once hardware does not read it any more, and never if it may.
///
/// # Errors
///
/// The unit has failed.
pub fn replace_table<U: RemappingUnit>(
    unit: &U,
    mut larger: InterruptTable<U::Memory>,
) -> Result<(), U::Error> {
    let accepted = unit.locked(|table| {
        table.copy_to(&mut larger);
        core::mem::swap(table, &mut larger);
        unit.set_table(table)
    });
    let old = larger;
    let done = match accepted {
        // What is cached of the old table equals the new one. But hardware may still be reading the
        // old one, which is freed next.
        true => unit.invalidate(0, MAX_ENTRIES),
        // Hardware may use either table from now on.
        false => Err(unit.fail()),
    };
    if done.is_err() {
        core::mem::forget(old);
    }
    done
}
