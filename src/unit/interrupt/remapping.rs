// SPDX-License-Identifier: GPL-2.0

//! The interrupts of one unit: its table and its entries, whose changes are in
//! [`vtd_core::concurrent::interrupts`].
//!
//! # Locks
//!
//! 1. `entries` (mutex): which entries are in use. The table is replaced with this lock held.
//! 2. `table` (spin lock, interrupts off): the table.

use super::table::{new_table, InterruptTable, TablePages};
use crate::unit::Unit;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::prelude::*;
use kernel::sync::{new_mutex, Mutex};
use kernel_ext::lock::IrqSpinLock;
use kernel_ext::pages::NumaNode;
use kernel_ext::{log_err, log_info};
use vtd_core::concurrent::interrupt_entries::InterruptEntries;
use vtd_core::concurrent::interrupts::{self, RemappingUnit};
use vtd_core::spec::address::SourceId;
use vtd_core::spec::interrupt::{InterruptEntry, InterruptTarget, SourceCheck, MAX_ENTRIES};

/// The entries in use, by the device that each belongs to.
type Entries = InterruptEntries<KVVec<Option<SourceId>>>;

/// The largest table has 2^LARGEST_ORDER pages: 65536 entries.
const LARGEST_ORDER: u32 = 8;

/// The interrupt remapping of one unit.
#[pin_data]
pub(in crate::unit) struct InterruptRemapping {
    node: NumaNode,
    coherent: bool,
    /// Whether hardware may use the table.
    pub(super) is_on: AtomicBool,
    /// Whether requests in compatibility format pass.
    pub(super) compatibility: AtomicBool,
    #[pin]
    pub(super) entries: Mutex<Entries>,
    #[pin]
    pub(super) table: IrqSpinLock<InterruptTable>,
}

impl InterruptRemapping {
    /// Allocates a table for the unit, near `node`.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(in crate::unit) fn new(node: NumaNode, coherent: bool) -> Result<impl PinInit<Self>> {
        let table = new_table(0, node, coherent)?;
        let mut entries = Entries::new(KVVec::new());
        grow(&mut entries, table.count())?;
        Ok(pin_init!(Self {
            node,
            coherent,
            is_on: AtomicBool::new(false),
            compatibility: AtomicBool::new(false),
            entries <- new_mutex!(entries, "vtd interrupt entries"),
            table <- kernel_ext::new_irq_spinlock!(table, c"vtd interrupt table"),
        }))
    }

    /// Makes all entries absent for good.
    ///
    /// # Context
    ///
    /// Any context.
    pub(in crate::unit) fn block(&self) {
        self.table.with(|table| table.block());
    }

    /// Returns whether hardware may use the table.
    pub(in crate::unit) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }
}

/// Reserves memory for a table of `count` entries.
fn grow(entries: &mut Entries, count: usize) -> Result {
    entries.grow(count, |owners, more| {
        Ok(owners.extend_with(more, None, GFP_KERNEL)?)
    })
}

/// A unit with its interrupt remapping.
struct Remapped<'a> {
    unit: &'a Unit,
    remapping: &'a InterruptRemapping,
}

impl RemappingUnit for Remapped<'_> {
    type Memory = TablePages;
    type Error = Error;

    fn locked<R>(&self, work: impl FnOnce(&mut InterruptTable) -> R) -> R {
        self.remapping.table.with(work)
    }

    fn set_table(&self, table: &InterruptTable) -> bool {
        // A unit that does not remap yet, or is suspended, gets its table later.
        !self.remapping.is_on() || self.unit.set_table(table).is_ok()
    }

    fn fail(&self) -> Error {
        self.unit
            .fail(&"it did not accept a larger interrupt remapping table in time");
        EIO
    }

    fn invalidate(&self, first: usize, count: usize) -> Result {
        self.unit.invalidate_interrupts(first, count)
    }
}

impl Remapped<'_> {
    /// Replaces the table by one of twice its size.
    fn grow_table(&self, entries: &mut Entries) -> Result {
        let order = self.remapping.table.with(|table| table.order()) + 1;
        if order > LARGEST_ORDER {
            return Err(ENOSPC);
        }
        let larger = new_table(order, self.remapping.node, self.remapping.coherent)?;
        let count = larger.count();
        grow(entries, count)?;
        interrupts::replace_table(self, larger)?;
        let unit = self.unit;
        log_info!("{unit}: its interrupt remapping table was enlarged to {count} entries");
        Ok(())
    }
}

impl Unit {
    fn remapped(&self) -> Option<Remapped<'_>> {
        let remapping = self.interrupts.as_deref()?;
        Some(Remapped {
            unit: self,
            remapping,
        })
    }

    /// Takes `count` consecutive entries for the device `owner`, whose requests they accept as
    /// `check` says. They are absent. Returns the first one.
    ///
    /// # Errors
    ///
    /// [`ENOSPC`]: too many entries are in use; the log says so. [`ENOMEM`] if an allocation fails.
    /// [`EIO`]: the unit has failed. [`ENODEV`]: the unit has no table.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn take_interrupts(
        &self,
        count: u32,
        owner: SourceId,
        check: SourceCheck,
    ) -> Result<u16> {
        let remapped = self.remapped().ok_or(ENODEV)?;
        if self.has_failed() {
            return Err(EIO);
        }
        let high = InterruptEntry::high(check);
        let mut entries = remapped.remapping.entries.lock();
        loop {
            let taken = interrupts::take(&remapped, &mut entries, count as usize, owner, high);
            if let Some(first) = taken.and_then(|first| u16::try_from(first).ok()) {
                return Ok(first);
            }
            remapped.grow_table(&mut entries).inspect_err(|e| {
                if *e == ENOSPC {
                    log_err!(
                        "{self}: {owner}: {count} interrupt(s) not allocated: {} of \
                         {MAX_ENTRIES} interrupt remapping entries are in use",
                        entries.used()
                    );
                }
            })?;
        }
    }

    /// Frees `count` entries from `first`, once hardware does not use them any more.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn free_interrupts(&self, first: u16, count: u32) {
        if let Some(remapped) = self.remapped() {
            let mut entries = remapped.remapping.entries.lock();
            interrupts::free(&remapped, &mut entries, first.into(), count as usize);
        }
    }

    /// Makes an entry deliver to `target`. After an error of hardware all entries are absent.
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn set_interrupt_target(&self, index: u16, target: InterruptTarget) {
        let Some(remapped) = self.remapped() else {
            return;
        };
        let mut fits = false;
        let _ = interrupts::change(&remapped, index.into(), |table| {
            let low = InterruptEntry::low(target, table.mode());
            fits = low.is_some();
            Some(low.unwrap_or(InterruptEntry::ABSENT.low))
        });
        if !fits {
            log_err!(
                "{self}: interrupt {index} is blocked: it would go to processor {:#x}, which is \
                 beyond xAPIC mode",
                target.destination
            );
        }
    }

    /// Makes an entry absent. Its faults are recorded as those of any absent entry.
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn clear_interrupt(&self, index: u16) {
        if let Some(remapped) = self.remapped() {
            let absent = |_: &InterruptTable| Some(InterruptEntry::ABSENT.low);
            let _ = interrupts::change(&remapped, index.into(), absent);
        }
    }

    /// Makes the unit stop recording faults of requests that name an entry, until the entry changes.
    /// Returns whether it does: there is no such entry beyond the table.
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn disable_interrupt_fault_processing(&self, index: u16) -> bool {
        let index = usize::from(index);
        let changed = self.remapped().map(|remapped| {
            interrupts::change(&remapped, index, |table| {
                let exists = index < table.count();
                exists.then(|| table.get(index).without_fault_processing().low)
            })
        });
        matches!(changed, Some(Ok(true)))
    }
}
