// SPDX-License-Identifier: GPL-2.0

//! The interrupts of one unit: its table, and the changes of its entries.
//!
//! # Order
//!
//! An entry is taken, and gets its source check while it is absent. It becomes present when its
//! interrupt is activated. Each change is followed by an invalidation of the unit's cache of
//! interrupt entries, and has taken effect when that is confirmed. An entry is free only after an
//! invalidation has confirmed that it is absent.
//!
//! A table that is full is replaced by one of twice its size, while interrupts arrive: the larger
//! one gives the same results (VT-d 11.4.4.1, SIRTP).
//!
//! # Locks
//!
//! 1. `entries` (mutex): which entries are in use. The table is replaced with this lock held.
//! 2. `table` (spin lock, interrupts off): the table. It is held until hardware has accepted a
//!    table, so that no entry is changed only in a table that hardware does not use. It is not held
//!    during an invalidation: one that fails takes it, to make all entries absent.

use super::entries::Entries;
use super::table::InterruptTable;
use crate::unit::Unit;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::prelude::*;
use kernel::sync::{new_mutex, Mutex};
use kernel_ext::lock::IrqSpinLock;
use kernel_ext::pages::NumaNode;
use kernel_ext::{log_err, log_info};
use vtd_core::spec::address::SourceId;
use vtd_core::spec::interrupt::{InterruptEntry, InterruptTarget, SourceCheck, MAX_ENTRIES};

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
        let table = InterruptTable::new(0, node, coherent)?;
        let entries = Entries::new(table.len())?;
        Ok(pin_init!(Self {
            node,
            coherent,
            is_on: AtomicBool::new(false),
            compatibility: AtomicBool::new(false),
            entries <- new_mutex!(entries, "vtd interrupt entries"),
            table <- kernel_ext::new_irq_spinlock!(table, c"vtd interrupt table"),
        }))
    }

    /// Takes entries from the table as it is.
    fn take(&self, entries: &mut Entries, count: u32, owner: SourceId, high: u64) -> Option<u16> {
        let count = count as usize;
        let first = entries.take(count, owner)?;
        self.table.with(|table| {
            for index in first..first + count {
                table.set_high(index, high);
            }
        });
        u16::try_from(first).ok()
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

impl Unit {
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
        let remapping = self.interrupts.as_deref().ok_or(ENODEV)?;
        if self.has_failed() {
            return Err(EIO);
        }
        let high = InterruptEntry::high(check);
        let mut entries = remapping.entries.lock();
        loop {
            if let Some(first) = remapping.take(&mut entries, count, owner, high) {
                return Ok(first);
            }
            self.grow_interrupt_table(remapping, &mut entries)
                .inspect_err(|e| {
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

    /// Replaces the table by one of twice its size.
    fn grow_interrupt_table(
        &self,
        remapping: &InterruptRemapping,
        entries: &mut Entries,
    ) -> Result {
        let order = remapping.table.with(|table| table.order) + 1;
        if order > LARGEST_ORDER {
            return Err(ENOSPC);
        }
        let mut larger = InterruptTable::new(order, remapping.node, remapping.coherent)?;
        entries.grow(larger.len())?;
        let accepted = remapping.table.with(|table| {
            table.copy_to(&mut larger);
            core::mem::swap(table, &mut larger);
            // A unit that does not remap yet, or is suspended, gets its table later.
            match remapping.is_on() {
                true => self.set_table(table),
                false => Ok(()),
            }
        });
        if accepted.is_err() {
            // Hardware may use either table from now on.
            core::mem::forget(larger);
            self.fail(&"it did not accept a larger interrupt remapping table in time");
            return Err(EIO);
        }
        // What is cached of the old table equals the new one. But hardware may still be reading the
        // old one, which is freed next.
        if let Err(e) = self.invalidate_interrupts(0, MAX_ENTRIES) {
            core::mem::forget(larger);
            return Err(e);
        }
        let count = remapping.table.with(|table| table.len());
        log_info!("{self}: its interrupt remapping table was enlarged to {count} entries");
        Ok(())
    }

    /// Frees `count` entries from `first`, once hardware does not use them any more.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn free_interrupts(&self, first: u16, count: u32) {
        let Some(remapping) = self.interrupts.as_deref() else {
            return;
        };
        let (first, count) = (usize::from(first), count as usize);
        let mut entries = remapping.entries.lock();
        remapping.table.with(|table| {
            for index in first..first + count {
                table.set_low(index, InterruptEntry::ABSENT.low);
            }
        });
        // After an error all entries are absent.
        let _ = self.invalidate_interrupts(first, count);
        remapping.table.with(|table| {
            for index in first..first + count {
                table.set_high(index, InterruptEntry::ABSENT.high);
            }
        });
        entries.free(first, count);
    }

    /// Makes an entry deliver to `target`. After an error of hardware all entries are absent.
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn set_interrupt_target(&self, index: u16, target: InterruptTarget) {
        let Some(remapping) = self.interrupts.as_deref() else {
            return;
        };
        let index = usize::from(index);
        let fits = remapping.table.with(|table| {
            let low = InterruptEntry::low(target, table.mode);
            table.set_low(index, low.unwrap_or(InterruptEntry::ABSENT.low));
            low.is_some()
        });
        if !fits {
            log_err!(
                "{self}: interrupt {index} is blocked: it would go to processor {:#x}, which is \
                 beyond xAPIC mode",
                target.destination
            );
        }
        let _ = self.invalidate_interrupts(index, 1);
    }

    /// Makes an entry absent. Its faults are recorded as those of any absent entry.
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn clear_interrupt(&self, index: u16) {
        let Some(remapping) = self.interrupts.as_deref() else {
            return;
        };
        let index = usize::from(index);
        remapping
            .table
            .with(|table| table.set_low(index, InterruptEntry::ABSENT.low));
        let _ = self.invalidate_interrupts(index, 1);
    }

    /// Makes the unit stop recording faults of requests that name an entry, until the entry changes.
    /// Returns whether it does: there is no such entry beyond the table.
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn disable_interrupt_fault_processing(&self, index: u16) -> bool {
        let Some(remapping) = self.interrupts.as_deref() else {
            return false;
        };
        let index = usize::from(index);
        let exists = remapping.table.with(|table| {
            let exists = index < table.len();
            if exists {
                table.set_low(index, table.get(index).without_fault_processing().low);
            }
            exists
        });
        exists && self.invalidate_interrupts(index, 1).is_ok()
    }
}
