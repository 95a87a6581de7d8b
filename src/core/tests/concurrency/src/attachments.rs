// SPDX-License-Identifier: GPL-2.0

//! Units are attached to a domain and detached while a page is unmapped: either the flush includes
//! a unit, or the unit finds the page unmapped. The flush begins on all units before it waits.

use crate::shim::prelude::EIO;
use crate::shim::unit::{events, DomainIdOwner, Unit};
use loom::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

subjects! {
    domain domain_no_fence domain_weak_store domain_not_counted domain_all_leave_with_one
    domain_primary_counted_out domain_not_published domain_never_withdrawn
    domain_published_for_another domain_primary_left_out domain_first_part_only
    domain_one_after_the_other domain_not_finished domain_stops_at_an_error domain_error_lost
    domain_one_error_counts
    domain_not_retained domain_unit_not_retained
}

/// Makes the list of a domain that was allocated for the first unit of the machine.
macro_rules! new_domain {
    ($module:ident, $units:expr) => {{
        let mut all = crate::shim::prelude::KVec::new();
        for unit in $units.iter() {
            all.push(std::sync::Arc::clone(unit), ()).unwrap();
        }
        let (primary, charge) = ($units[0].clone(), crate::shim::unit::Charge);
        let flushed = $module::flush_list::FlushList::new(primary, Arc::new(all), charge);
        $module::attachments::Attachments::new(flushed.unwrap())
    }};
}
pub(crate) use new_domain;

/// Makes units that walk one table, each with another domain-id.
fn units(count: u16, table: &Arc<AtomicU64>) -> Vec<Arc<Unit>> {
    let unit = |number| Arc::new(Unit::new(2 + 3 * number, table.clone()));
    (0..count).map(unit).collect()
}

/// Attaches a device, which makes a request.
macro_rules! join {
    ($domain:expr, $unit:expr) => {{
        let joined = $domain.attach_unit($unit, DomainIdOwner::User, None);
        // The context entry is written.
        $unit.walk();
        joined.unwrap()
    }};
}

/// Unmaps the page and flushes it.
macro_rules! unmap {
    ($module:ident, $domain:expr, $table:expr) => {
        $table.store(0, Ordering::Relaxed);
        let page = $module::flush_list::range_of(0, 0x1000, false).unwrap();
        $domain.flush_list.invalidate_range(page);
    };
}

fn no_stale_page(units: &[Arc<Unit>]) {
    for unit in units {
        assert_eq!(unit.cached(), 0, "the page is reachable after the flush");
    }
}

/// One of two units is attached while a page is unmapped.
macro_rules! joins {
    ($module:ident) => {
        joins!($module, 0);
        joins!($module, 1);
    };
    ($module:ident, $joining:literal) => {
        crate::check(|| {
            let table = Arc::new(AtomicU64::new(0x1003));
            let units = units(2, &table);
            let domain = Arc::new(new_domain!($module, &units));
            let joining = {
                let (domain, unit) = (domain.clone(), units[$joining].clone());
                loom::thread::spawn(move || {
                    join!(domain, &unit);
                })
            };
            unmap!($module, domain, table);
            joining.join().unwrap();
            no_stale_page(&units);
        })
    };
}

/// Of three units, one stays, one is detached, and one is attached, while a page is unmapped.
macro_rules! changes {
    ($module:ident) => {
        changes!($module, 0, 1, 2);
        changes!($module, 1, 0, 2);
        changes!($module, 1, 2, 0);
    };
    ($module:ident, $stays:literal, $leaves:literal, $joins:literal) => {
        crate::check(|| {
            let table = Arc::new(AtomicU64::new(0x1003));
            let units = units(3, &table);
            let domain = Arc::new(new_domain!($module, &units));
            join!(domain, &units[$stays]);
            join!(domain, &units[$leaves]);
            let changing = {
                let (domain, units) = (domain.clone(), units.clone());
                loom::thread::spawn(move || {
                    // The context entry is removed, and the caches are invalidated.
                    units[$leaves].invalidate_all();
                    domain.detach_unit(&units[$leaves]);
                    join!(domain, &units[$joins]);
                })
            };
            unmap!($module, domain, table);
            changing.join().unwrap();
            no_stale_page(&units);
        })
    };
}

/// Every order in which three units are attached and one or none is detached, one after the other.
macro_rules! orders {
    ($module:ident) => {
        for first in 0..3 {
            for leaves in [None, Some(0), Some(1), Some(2)] {
                crate::check(move || {
                    let table = Arc::new(AtomicU64::new(0x1003));
                    let units = units(3, &table);
                    let domain = new_domain!($module, &units);
                    for at in 0..3 {
                        join!(domain, &units[(first + at) % 3]);
                    }
                    if let Some(at) = leaves {
                        units[at].invalidate_all();
                        domain.detach_unit(&units[at]);
                    }
                    let order = events(|| {
                        unmap!($module, domain, table);
                    });
                    no_stale_page(&units);
                    // Two at a time, see `subjects.rs`.
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
                    Arc::new(
                        Unit::new(2 + number, table.clone()).caching(failing[usize::from(number)]),
                    )
                };
                let units: Vec<_> = (0..3).map(unit).collect();
                let domain = new_domain!($module, &units);
                for unit in &units {
                    join!(domain, unit);
                }
                let mut mapped = Ok(());
                let order = events(|| mapped = domain.flush_list.sync_map(0, 0x1000));
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

/// A device is detached and attached again while all domain-ids are allocated.
macro_rules! returns_after_detach {
    ($module:ident) => {
        crate::check(|| {
            let table = Arc::new(AtomicU64::new(0));
            let units = units(2, &table);
            for (unit, kernels) in [
                (&units[0], true),
                (&units[0], false),
                (&units[1], true),
                (&units[1], false),
            ] {
                let domain = new_domain!($module, &units);
                let id_owner = if kernels {
                    DomainIdOwner::Kernel
                } else {
                    DomainIdOwner::User
                };
                if kernels {
                    domain.retain_units();
                }
                let id = domain.attach_unit(unit, id_owner, None).unwrap();
                let share = domain.detach_unit(unit);
                unit.fill();
                // Only a user's domain needs the retained domain-id.
                let retained_id = share.filter(|_| !kernels);
                let again = domain.attach_unit(unit, id_owner, retained_id);
                assert_eq!(again.ok(), Some(id), "it cannot be attached again");
                unit.empty();
                table.store(0x1003, Ordering::Relaxed);
                unit.walk();
                unmap!($module, domain, table);
                no_stale_page(&units);
            }
        })
    };
}

laws! {
    a_detached_device_can_return: domain, returns_after_detach;
    an_id_that_is_not_retained_is_noticed: domain_not_retained, "cannot be attached again";
    a_unit_that_is_not_published_again_is_noticed: domain_not_published, "reachable after the flush";
    a_unit_that_is_not_retained_is_noticed: domain_unit_not_retained, "cannot be attached again";
}

laws! {
    a_unit_that_joins_is_flushed_or_finds_the_page_unmapped: domain, joins;
    a_missing_fence_is_noticed: domain_no_fence, "reachable after the flush";
    a_weak_store_is_noticed: domain_weak_store, "reachable after the flush";
    a_unit_that_is_not_counted_is_noticed: domain_not_counted, "reachable after the flush";
}

laws! {
    units_that_stay_are_flushed_while_others_leave_and_join: domain, changes;
    units_that_all_leave_with_one_are_noticed: domain_all_leave_with_one, "reachable after the flush";
    a_primary_unit_that_is_counted_out_is_noticed: domain_primary_counted_out, "reachable after the flush";
    an_id_that_is_published_for_another_unit_is_noticed: domain_published_for_another, "reachable after the flush";
}

laws! {
    a_flush_begins_on_all_units_and_finishes_on_each: domain, orders;
    a_primary_unit_that_is_left_out_is_noticed: domain_primary_left_out, "reachable after the flush";
    a_second_part_that_is_left_out_is_noticed: domain_first_part_only, "reachable after the flush";
    a_flush_that_does_not_wait_is_noticed: domain_not_finished, "reachable after the flush";
    a_flush_of_one_unit_after_the_other_is_noticed: domain_one_after_the_other, "not begun on all units first";
    a_unit_that_stays_published_is_noticed: domain_never_withdrawn, "not begun on all units first";
}

laws! {
    a_unit_that_fails_keeps_no_other_from_being_waited_for: domain, fails;
    a_wait_that_an_error_ends_is_noticed: domain_stops_at_an_error, "was not waited for";
    an_error_that_is_lost_is_noticed: domain_error_lost, "the error is lost";
    an_error_that_counts_although_a_unit_works_is_noticed: domain_one_error_counts, "one error counts";
}
