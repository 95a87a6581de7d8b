// SPDX-License-Identifier: GPL-2.0

//! The flush of a domain: units join it and leave it while a page is unmapped. Either the flush
//! includes a unit, or the unit finds the page unmapped. The flush begins on all units before it
//! waits.

use crate::attachments::{no_stale_page, page, units};
use crate::lockless::flush_list;
use crate::shim::prelude::{Error, Result, EIO};
use crate::shim::unit::{events, Begun, Unit};
use loom::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use vtd_core::invalidation::{CacheTag, InvalidationRange, InvalidationSteps};
use vtd_core::spec::address::{DomainId, Iova};
use vtd_core::spec::capability::Capability;

/// The units of a machine, the first of which is the primary one, with `$module`'s places of
/// published tags.
macro_rules! machines {
    ($($module:ident)+) => {$(
        impl $module::FlushedUnit for Unit {
            type Begun = Begun;
            type Error = Error;

            fn cap(&self) -> Capability {
                self.cap()
            }

            fn invalidate_range(&self, id: DomainId, range: InvalidationRange) {
                self.invalidate_range(id, range)
            }

            fn begin_range(&self, tag: CacheTag, range: InvalidationRange) -> Begun {
                self.begin_range(tag, range)
            }

            fn finish_range(&self, begun: Begun, tag: CacheTag, range: InvalidationRange) {
                self.finish_range(begun, tag, range)
            }

            fn begin_steps(&self, steps: InvalidationSteps) -> Begun {
                self.begin_steps(steps)
            }

            fn finish_steps(&self, begun: Begun, steps: InvalidationSteps) -> Result {
                self.finish_steps(begun, steps)
            }
        }

        impl $module::DomainUnits for Machine<$module::PublishedTag> {
            type Unit = Unit;

            fn primary(&self) -> &Unit {
                &self.units[0]
            }

            fn others(&self) -> impl Iterator<Item = (&Unit, &$module::PublishedTag)> {
                let units = self.units.iter().map(|unit| &**unit);
                units.zip(&self.tags)
            }
        }
    )+};
}

/// All units of a machine, and where their tags are published; that of the first is not used.
pub(crate) struct Machine<P> {
    units: Vec<Arc<Unit>>,
    tags: Vec<P>,
}

/// Makes a machine with units, whose tags are not published yet.
pub(crate) fn machine(units: &[Arc<Unit>]) -> Machine<flush_list::PublishedTag> {
    let tags = units.iter().map(|_| flush_list::PublishedTag::new());
    Machine {
        units: units.to_vec(),
        tags: tags.collect(),
    }
}

/// Declares a module for each mistake, and uses all of them with [`Machine`].
macro_rules! flush_lists {
    ($($name:ident)+) => {
        mistakes! { $($name)+ }
        machines! { flush_list $($name)+ }
    };
}

flush_lists! {
    flush_list_no_fence flush_list_weak_store flush_list_not_counted flush_list_all_leave_with_one
    flush_list_primary_counted_out flush_list_primary_left_out flush_list_first_part_only
    flush_list_one_after_the_other flush_list_not_finished flush_list_stops_at_an_error flush_list_error_lost
    flush_list_one_error_counts flush_list_first_stage_left_out flush_list_first_stage_not_finished
}

/// Makes the list of a domain, which flushes two units at a time.
macro_rules! list {
    ($module:ident, $units:expr) => {{
        let tags = $units
            .iter()
            .map(|_| $module::PublishedTag::new())
            .collect();
        let units = $units.to_vec();
        $module::FlushList::<_, 2>::new(Machine { units, tags })
    }};
}

/// The place of the published tag of the unit with a number.
macro_rules! place {
    ($list:expr, $at:expr) => {
        match $at {
            0 => $list.primary_tag(),
            at => &$list.units().tags[at],
        }
    };
}

/// A unit joins, and a device behind it makes a request.
macro_rules! join {
    ($list:expr, $at:expr) => {
        let unit = &$list.units().units[$at];
        $list.publish(place!($list, $at), unit.tag());
        $list.note_map_invalidation(unit.cap());
        // The context entry is written.
        unit.walk();
    };
}

/// A unit leaves: its context entry is removed, and its caches are invalidated.
macro_rules! leave {
    ($list:expr, $at:expr) => {
        $list.units().units[$at].invalidate_all();
        $list.withdraw(place!($list, $at));
    };
}

/// Unmaps the page and flushes it.
macro_rules! unmap {
    ($list:expr, $table:expr) => {
        $table.store(0, Ordering::Relaxed);
        $list.invalidate_range(page());
    };
}

/// One of two units joins while a page is unmapped.
macro_rules! joins {
    ($module:ident) => {
        for joining in 0..2 {
            crate::check(move || {
                let table = Arc::new(AtomicU64::new(0x1003));
                let units = units(2, &table);
                let list = Arc::new(list!($module, &units));
                let other = {
                    let list = list.clone();
                    loom::thread::spawn(move || {
                        join!(list, joining);
                    })
                };
                unmap!(list, table);
                other.join().unwrap();
                no_stale_page(&units);
            })
        }
    };
}

/// The only unit, which walks a first-stage table, joins while a page is unmapped.
macro_rules! first_stage_joins {
    ($module:ident) => {
        crate::check(|| {
            let table = Arc::new(AtomicU64::new(0x1003));
            let units = [Arc::new(Unit::new(2, table.clone()).with_first_stage())];
            let list = Arc::new(list!($module, &units));
            let other = {
                let list = list.clone();
                loom::thread::spawn(move || {
                    join!(list, 0);
                })
            };
            unmap!(list, table);
            other.join().unwrap();
            no_stale_page(&units);
        })
    };
}

/// Of three units, one stays, one leaves, and one joins, while a page is unmapped.
macro_rules! changes {
    ($module:ident) => {
        for [stays, leaves, joins] in [[0, 1, 2], [1, 0, 2], [1, 2, 0]] {
            crate::check(move || {
                let table = Arc::new(AtomicU64::new(0x1003));
                let units = units(3, &table);
                let list = Arc::new(list!($module, &units));
                join!(list, stays);
                join!(list, leaves);
                let other = {
                    let list = list.clone();
                    loom::thread::spawn(move || {
                        leave!(list, leaves);
                        join!(list, joins);
                    })
                };
                unmap!(list, table);
                other.join().unwrap();
                no_stale_page(&units);
            })
        }
    };
}

/// Every order in which three units join and one or none leaves, one after the other.
macro_rules! orders {
    ($module:ident) => {
        for first in 0..3 {
            for leaves in [None, Some(0), Some(1), Some(2)] {
                crate::check(move || {
                    let table = Arc::new(AtomicU64::new(0x1003));
                    let units = units(3, &table);
                    let list = list!($module, &units);
                    for at in 0..3 {
                        join!(list, (first + at) % 3);
                    }
                    if let Some(at) = leaves {
                        leave!(list, at);
                    }
                    let order = events(|| {
                        unmap!(list, table);
                    });
                    no_stale_page(&units);
                    let expected = leaves.map_or("bbffbf", |_| "bbff");
                    assert_eq!(order, expected, "not begun on all units first");
                });
            }
        }
    };
}

/// Of three units in caching mode the first fails as a page is mapped, or the last one, or all.
macro_rules! fails {
    ($module:ident) => {
        crate::check(|| {
            for failing in [[true, false, false], [false, false, true], [true; 3]] {
                let table = Arc::new(AtomicU64::new(0x1003));
                let unit = |number: u16| {
                    let fails = failing[usize::from(number)];
                    Arc::new(Unit::new(2 + number, table.clone()).caching(fails))
                };
                let units: Vec<_> = (0..3).map(unit).collect();
                let list = list!($module, &units);
                for at in 0..3 {
                    join!(list, at);
                }
                let mut mapped = Ok(());
                let order = events(|| mapped = list.sync_map(Iova::new(0), 0x1000));
                assert_eq!(order.matches('f').count(), 3, "a unit was not waited for");
                if failing == [true; 3] {
                    assert_eq!(mapped, Err(EIO), "the error is lost");
                } else {
                    assert_eq!(mapped, Ok(()), "one error counts");
                }
                no_stale_page(&units);
            }
        })
    };
}

laws! {
    a_unit_that_joins_is_flushed_or_finds_the_page_unmapped: flush_list, joins;
    a_missing_fence_is_noticed: flush_list_no_fence, "reachable after the flush";
    a_weak_store_is_noticed: flush_list_weak_store, "reachable after the flush";
    a_unit_that_is_not_counted_is_noticed: flush_list_not_counted, "reachable after the flush";
}

laws! {
    a_first_stage_is_flushed_or_finds_the_page_unmapped: flush_list, first_stage_joins;
    a_first_stage_that_is_left_out_is_noticed: flush_list_first_stage_left_out, "reachable after the flush";
    a_first_stage_that_is_not_waited_for_is_noticed: flush_list_first_stage_not_finished, "reachable after the flush";
}

laws! {
    units_that_stay_are_flushed_while_others_leave_and_join: flush_list, changes;
    units_that_all_leave_with_one_are_noticed: flush_list_all_leave_with_one, "reachable after the flush";
    a_primary_unit_that_is_counted_out_is_noticed: flush_list_primary_counted_out, "reachable after the flush";
}

laws! {
    a_flush_begins_on_all_units_and_finishes_on_each: flush_list, orders;
    a_primary_unit_that_is_left_out_is_noticed: flush_list_primary_left_out, "reachable after the flush";
    a_second_part_that_is_left_out_is_noticed: flush_list_first_part_only, "reachable after the flush";
    a_flush_that_does_not_wait_is_noticed: flush_list_not_finished, "reachable after the flush";
    a_flush_of_one_unit_after_the_other_is_noticed: flush_list_one_after_the_other, "not begun on all units first";
}

laws! {
    a_unit_that_fails_keeps_no_other_from_being_waited_for: flush_list, fails;
    a_wait_that_an_error_ends_is_noticed: flush_list_stops_at_an_error, "was not waited for";
    an_error_that_is_lost_is_noticed: flush_list_error_lost, "the error is lost";
    an_error_that_counts_although_a_unit_works_is_noticed: flush_list_one_error_counts, "one error counts";
}
