// SPDX-License-Identifier: GPL-2.0

//! The interrupt remapping table: its entries change while it is replaced by a larger one and while
//! the unit is failed. Each model holds the table's lock as `src/unit/interrupt` does. Its unit reads
//! the table that IRTA points to, and caches nothing: every change is followed by an invalidation.

use crate::shim::{lock, pages};
use loom::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use vtd_core::spec::address::SourceId;

subjects! {
    table table_not_copied table_source_not_copied table_block_not_copied table_not_blocked
    table_one_not_cleared table_never_absent entries entries_not_taken entries_unaligned entries_not_freed
}

const HERE: u64 = 0x10001;
const THERE: u64 = 0x20001;
const SOURCE: u64 = 0x40100;
const OTHER_SOURCE: u64 = 0x40200;

/// Declares the unit with a table of a module.
macro_rules! unit {
    ($module:ident) => {
        struct Unit {
            table: lock::IrqSpinLock<$module::InterruptTable>,
            irta: AtomicU64,
        }

        impl Unit {
            fn new() -> Arc<Self> {
                pages::clear_all();
                let table = $module::InterruptTable::new(0, pages::NumaNode, true).unwrap();
                table.set_high(0, SOURCE);
                Arc::new(Self {
                    irta: AtomicU64::new(table.address().unwrap()),
                    table: lock::new(table, c"table"),
                })
            }

            /// Returns an entry as hardware reads it now.
            fn entry(&self, index: usize) -> (u64, u64) {
                let page = pages::at(self.irta.load(Ordering::Acquire));
                (page.read(index * 2), page.read(index * 2 + 1))
            }

            fn set(&self, low: u64) {
                self.table.with(|table| table.set_low(0, low));
            }

            fn grow(&self) {
                let order = self.table.with(|table| table.order) + 1;
                let mut larger =
                    $module::InterruptTable::new(order, pages::NumaNode, true).unwrap();
                self.table.with(|table| {
                    table.copy_to(&mut larger);
                    core::mem::swap(table, &mut larger);
                    self.irta.store(table.address().unwrap(), Ordering::Release);
                });
            }
        }
    };
}

/// One thread moves an interrupt, another one replaces the table.
macro_rules! moved {
    ($module:ident) => {
        unit!($module);
        crate::check(|| {
            let unit = Unit::new();
            let grower = {
                let unit = unit.clone();
                loom::thread::spawn(move || unit.grow())
            };
            let reads = |target| {
                let (low, high) = unit.entry(0);
                assert_eq!(high, SOURCE, "hardware accepts another source");
                assert_eq!(low, target, "hardware uses another target");
            };
            for target in [HERE, THERE, 0] {
                unit.set(target);
                reads(target);
            }
            unit.set(HERE);
            grower.join().unwrap();
            reads(HERE);
        })
    };
}

/// One thread moves an interrupt, another one replaces the table, a third one fails the unit.
macro_rules! blocked {
    ($module:ident) => {
        unit!($module);
        crate::check(|| {
            let unit = Unit::new();
            unit.set(HERE);
            let run = |f: fn(&Unit)| {
                let unit = unit.clone();
                loom::thread::spawn(move || f(&unit))
            };
            let (mover, grower) = (run(|unit| unit.set(THERE)), run(|unit| unit.grow()));
            unit.table.with(|table| table.block());
            assert_eq!(unit.entry(0).0, 0, "an interrupt of a failed unit");
            mover.join().unwrap();
            grower.join().unwrap();
            assert_eq!(unit.entry(0).0, 0, "an interrupt of a failed unit");
        })
    };
}

/// One thread frees the entry of its device, another one takes it for a device with another source,
/// as src/unit/interrupt/remapping.rs does, while the unit looks it up.
macro_rules! reused {
    ($module:ident) => {
        unit!($module);
        crate::check(|| {
            let owners = [1, 2].map(SourceId::from_raw);
            let unit = Unit::new();
            unit.set(HERE);
            let mut one = entries::Entries::new(1).unwrap();
            assert_eq!(one.take(1, owners[0]), Some(0));
            let one = Arc::new(lock::new(one, c"entries"));
            let (freed, taken) = (unit.clone(), unit.clone());
            let (freeing, taking) = (one.clone(), one);
            let owner = loom::thread::spawn(move || {
                freed.set(0);
                freeing.with(|entries| {
                    freed.table.with(|table| table.set_high(0, 0));
                    entries.free(0, 1);
                });
            });
            let next = loom::thread::spawn(move || {
                let got = taking.with(|entries| {
                    let got = entries.take(1, owners[1]);
                    if got.is_some() {
                        taken.table.with(|table| table.set_high(0, OTHER_SOURCE));
                    }
                    got
                });
                if got.is_some() {
                    taken.set(THERE);
                }
            });
            // Hardware reads an entry as a whole, after the invalidation of what it was before.
            let page = pages::at(unit.irta.load(Ordering::Acquire));
            let (high, low) = (page.read_acquire(1), page.read_acquire(0));
            if page.read_acquire(1) == high {
                assert!(
                    low == 0
                        || (low, high) == (HERE, SOURCE)
                        || (low, high) == (THERE, OTHER_SOURCE),
                    "another device raises the interrupt"
                );
            }
            owner.join().unwrap();
            next.join().unwrap();
        })
    };
}

/// Two devices take entries, return some, and take others.
macro_rules! taken {
    ($module:ident) => {
        crate::check(|| {
            let owners = [1, 2].map(SourceId::from_raw);
            let mut entries = $module::Entries::new(8).unwrap();
            let one = entries.take(1, owners[0]).unwrap();
            let four = entries.take(3, owners[1]).unwrap();
            assert_eq!(four % 4, 0, "not aligned");
            let range = four..four + 3;
            assert!(!range.contains(&one), "one entry for two devices");
            assert_eq!(
                entries.owner(one),
                Some(owners[0]),
                "the owner is not known"
            );
            assert_eq!(entries.used(), 4);
            assert!(
                entries.take(4, owners[0]).is_none(),
                "more entries than there are"
            );
            entries.free(four, 3);
            assert_eq!(entries.used(), 1);
            assert_eq!(entries.take(4, owners[0]), Some(four), "not all were freed");
            entries.grow(16).unwrap();
            assert_eq!(entries.take(8, owners[1]), Some(8));
        })
    };
}

laws! {
    a_moved_interrupt_arrives_where_it_was_moved: table, moved;
    an_entry_that_is_lost_is_noticed: table_not_copied, "hardware uses another target";
    a_source_that_is_lost_is_noticed: table_source_not_copied, "hardware accepts another source";
}

laws! {
    no_interrupt_of_a_failed_unit_arrives: table, blocked;
    a_block_that_is_lost_is_noticed: table_block_not_copied, "an interrupt of a failed unit";
    an_ignored_block_is_noticed: table_not_blocked, "an interrupt of a failed unit";
    an_entry_that_stays_is_noticed: table_one_not_cleared, "an interrupt of a failed unit";
}

laws! {
    a_freed_entry_takes_no_target_along: table, reused;
    an_entry_that_never_becomes_absent_is_noticed: table_never_absent, "another device raises the interrupt";
}

laws! {
    no_two_devices_have_one_entry: entries, taken;
    an_entry_that_stays_free_is_noticed: entries_not_taken, "one entry for two devices";
    an_unaligned_entry_is_noticed: entries_unaligned, "not aligned";
    an_entry_that_does_not_come_back_is_noticed: entries_not_freed, "not all were freed";
}
