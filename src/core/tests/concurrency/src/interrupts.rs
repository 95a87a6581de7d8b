// SPDX-License-Identifier: GPL-2.0

//! The interrupt remapping table: its entries change while it is replaced by a larger one and while
//! the unit is failed. The model's unit keeps the first entry in its cache from the first request on
//! until it is invalidated.

use crate::concurrent::{interrupt_entries, interrupts};
use crate::shim::{lock, pages};
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::sync::Mutex;
use std::sync::Arc;
use vtd_core::spec::address::SourceId;

mistakes! {
    interrupts_not_copied interrupts_source_not_copied interrupts_block_not_copied interrupts_not_blocked
    interrupts_never_absent interrupts_one_not_cleared interrupts_change_not_invalidated
    interrupts_freed_not_invalidated interrupts_unlocked_before_accepted interrupts_old_table_freed
    interrupt_entries_not_taken interrupt_entries_unaligned interrupt_entries_not_freed
}

const HERE: u64 = 0x10001;
const THERE: u64 = 0x20001;
const SOURCE: u64 = 0x40100;
const OTHER_SOURCE: u64 = 0x40200;

const OWNER: SourceId = SourceId::from_raw(1);
const OTHER_OWNER: SourceId = SourceId::from_raw(2);

type Entries = interrupt_entries::InterruptEntries<Vec<Option<SourceId>>>;

/// The memory of a table, which must not be read once it is free.
struct Memory(pages::Pages);

impl Drop for Memory {
    fn drop(&mut self) {
        self.0.free()
    }
}

/// A unit that remaps interrupts, with a table `T`.
struct Unit<T> {
    table: lock::IrqSpinLock<T>,
    irta: AtomicU64,
    /// The first entry, if it is cached. Locked during a request, which ends before an invalidation
    /// is confirmed.
    cached: Mutex<Option<(u64, u64)>>,
}

impl<T> Unit<T> {
    /// Returns the first entry, as hardware uses it for a request now; [`None`] if it changed while
    /// it was read, which hardware reads as a whole.
    fn request(&self) -> Option<(u64, u64)> {
        let mut cached = self.cached.lock().unwrap();
        if cached.is_none() {
            let page = pages::at(self.irta.load(Ordering::Acquire));
            let (high, low) = (page.read_acquire(1), page.read_acquire(0));
            *cached = (page.read_acquire(1) == high).then_some((low, high));
        }
        *cached
    }

    fn invalidate(&self) {
        *self.cached.lock().unwrap() = None;
    }
}

/// Uses each version of the file with [`Unit`].
macro_rules! units {
    ($($module:ident)+) => {$(
        impl $module::TableMemory for Memory {
            // Tables of two and of four entries.
            const PER_PAGE: usize = 2;

            fn phys(&self) -> u64 {
                self.0.phys()
            }

            fn read(&self, word: usize) -> u64 {
                self.0.read(word)
            }

            fn write(&self, word: usize, value: u64) {
                self.0.write(word, value)
            }

            fn flush(&self, _: usize, _: usize) {}
        }

        impl $module::RemappingUnit for Unit<$module::InterruptTable<Memory>> {
            type Memory = Memory;
            type Error = &'static str;

            fn locked<R>(
                &self,
                work: impl FnOnce(&mut $module::InterruptTable<Memory>) -> R,
            ) -> R {
                self.table.with(work)
            }

            fn set_table(&self, table: &$module::InterruptTable<Memory>) -> bool {
                self.irta.store(table.address().unwrap(), Ordering::Release);
                true
            }

            fn fail(&self) -> &'static str {
                unreachable!("it accepts each table")
            }

            fn invalidate(&self, _: usize, _: usize) -> Result<(), &'static str> {
                self.invalidate();
                Ok(())
            }
        }
    )+};
}

units! {
    interrupts
    interrupts_not_copied interrupts_source_not_copied interrupts_block_not_copied interrupts_not_blocked
    interrupts_never_absent interrupts_one_not_cleared interrupts_change_not_invalidated
    interrupts_freed_not_invalidated interrupts_unlocked_before_accepted interrupts_old_table_freed
}

/// Makes a unit with a table of two entries, the first of which belongs to `OWNER`.
macro_rules! unit {
    ($module:ident) => {{
        pages::clear_all();
        let table = $module::InterruptTable::new(Memory(pages::Pages::zeroed()), 0);
        let unit = Arc::new(Unit {
            irta: AtomicU64::new(table.address().unwrap()),
            table: lock::new(table, c"table"),
            cached: Mutex::new(None),
        });
        let mut entries = Entries::new(vec![None; 2]);
        assert_eq!(
            $module::take(&*unit, &mut entries, 1, OWNER, SOURCE),
            Some(0)
        );
        (unit, Arc::new(lock::new(entries, c"entries")))
    }};
}

/// Changes the first entry.
macro_rules! set {
    ($module:ident, $unit:expr, $low:expr) => {
        assert_eq!($module::change(&*$unit, 0, |_| Some($low)), Ok(true))
    };
}

/// Replaces the table by one of four entries.
macro_rules! grow {
    ($module:ident, $unit:expr) => {{
        let larger = $module::InterruptTable::new(Memory(pages::Pages::zeroed()), 1);
        $module::replace_table(&*$unit, larger).unwrap();
    }};
}

/// One thread moves an interrupt, another one replaces the table.
macro_rules! moved {
    ($module:ident) => {
        crate::check(|| {
            let (unit, _) = unit!($module);
            let grower = {
                let unit = unit.clone();
                loom::thread::spawn(move || grow!($module, unit))
            };
            let requests = |target| {
                if let Some((low, high)) = unit.request() {
                    assert_eq!(high, SOURCE, "hardware accepts another source");
                    assert_eq!(low, target, "hardware uses another target");
                }
            };
            for target in [HERE, THERE, 0] {
                set!($module, unit, target);
                requests(target);
            }
            set!($module, unit, HERE);
            grower.join().unwrap();
            requests(HERE);
        })
    };
}

/// One thread moves an interrupt, another one replaces the table, a third one fails the unit.
macro_rules! blocked {
    ($module:ident) => {
        crate::check(|| {
            let (unit, _) = unit!($module);
            set!($module, unit, HERE);
            let (moved, grown) = (unit.clone(), unit.clone());
            let mover = loom::thread::spawn(move || set!($module, moved, THERE));
            let grower = loom::thread::spawn(move || grow!($module, grown));
            unit.table.with(|table| table.block());
            unit.invalidate();
            let raises = || unit.request().is_some_and(|(low, _)| low != 0);
            assert!(!raises(), "an interrupt of a failed unit");
            mover.join().unwrap();
            grower.join().unwrap();
            assert!(!raises(), "an interrupt of a failed unit");
        })
    };
}

/// One thread frees the entry of its device, another one takes it for a device with another source,
/// while devices make requests.
macro_rules! reused {
    ($module:ident) => {
        crate::check(|| {
            let (unit, entries) = unit!($module);
            set!($module, unit, HERE);
            let (freed, taken) = (unit.clone(), unit.clone());
            let (freeing, taking) = (entries.clone(), entries);
            let owner = loom::thread::spawn(move || {
                freeing.with(|entries| $module::free(&*freed, entries, 0, 1));
            });
            let next = loom::thread::spawn(move || {
                let got = taking.with(|entries| {
                    // The other entry is not free.
                    entries.owner(0).is_none().then(|| {
                        $module::take(&*taken, entries, 1, OTHER_OWNER, OTHER_SOURCE).unwrap()
                    })
                });
                if got.is_some() {
                    let old = taken.request() == Some((HERE, SOURCE));
                    assert!(!old, "the old device raises the interrupt");
                    set!($module, taken, THERE);
                }
            });
            if let Some((low, high)) = unit.request() {
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
            let owners = [OWNER, OTHER_OWNER];
            let mut entries = $module::InterruptEntries::new(vec![None; 8]);
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
            let extend = |owners: &mut Vec<_>, more| -> Result<(), ()> {
                owners.resize(owners.len() + more, None);
                Ok(())
            };
            entries.grow(16, extend).unwrap();
            assert_eq!(entries.take(8, owners[1]), Some(8));
        })
    };
}

laws! {
    a_moved_interrupt_arrives_where_it_was_moved: interrupts, moved;
    an_entry_that_is_lost_is_noticed: interrupts_not_copied, "hardware uses another target";
    a_source_that_is_lost_is_noticed: interrupts_source_not_copied, "hardware accepts another source";
    a_change_that_is_not_invalidated_is_noticed: interrupts_change_not_invalidated, "hardware uses another target";
    a_table_unlocked_before_it_is_accepted_is_noticed: interrupts_unlocked_before_accepted, "hardware uses another target";
    a_table_that_is_freed_early_is_noticed: interrupts_old_table_freed, "hardware reads a free table";
}

laws! {
    no_interrupt_of_a_failed_unit_arrives: interrupts, blocked;
    a_block_that_is_lost_is_noticed: interrupts_block_not_copied, "an interrupt of a failed unit";
    an_ignored_block_is_noticed: interrupts_not_blocked, "an interrupt of a failed unit";
    an_entry_that_stays_is_noticed: interrupts_one_not_cleared, "an interrupt of a failed unit";
}

laws! {
    a_freed_entry_takes_no_target_along: interrupts, reused;
    an_entry_that_never_becomes_absent_is_noticed: interrupts_never_absent, "device raises the interrupt";
    an_entry_that_stays_cached_is_noticed: interrupts_freed_not_invalidated, "the old device raises the interrupt";
}

laws! {
    no_two_devices_have_one_entry: interrupt_entries, taken;
    an_entry_that_stays_free_is_noticed: interrupt_entries_not_taken, "one entry for two devices";
    an_unaligned_entry_is_noticed: interrupt_entries_unaligned, "not aligned";
    an_entry_that_does_not_come_back_is_noticed: interrupt_entries_not_freed, "not all were freed";
}
