// SPDX-License-Identifier: GPL-2.0

//! Devices behind several units are attached to a domain and detached while a page is unmapped, with
//! the domain's list of units. `flush_list.rs` has the flush alone.

use crate::shim::unit::{events, DomainIdOwner, Unit};
use loom::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use vtd_core::invalidation::InvalidationRange;
use vtd_core::spec::address::Iova;

subjects! {
    domain domain_added_unpublished domain_not_published domain_never_withdrawn domain_published_for_another
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
        let units = $module::flush_list::AllUnits::new(primary, Arc::new(all), charge);
        $module::attachments::Attachments::new(
            crate::lockless::flush_list::FlushList::new(units.unwrap()),
            vtd_core::spec::level::Stage::Second,
        )
    }};
}
pub(crate) use new_domain;

/// The page that the models unmap.
pub(crate) fn page() -> InvalidationRange {
    InvalidationRange::of(Iova::new(0), 0x1000, false).unwrap()
}

/// Makes units that walk one table, each with another domain-id.
pub(crate) fn units(count: u16, table: &Arc<AtomicU64>) -> Vec<Arc<Unit>> {
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
    ($domain:expr, $table:expr) => {
        $table.store(0, Ordering::Relaxed);
        $domain.flush_list.invalidate_range(page());
    };
}

pub(crate) fn no_stale_page(units: &[Arc<Unit>]) {
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
            unmap!(domain, table);
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
            unmap!(domain, table);
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
                        unmap!(domain, table);
                    });
                    no_stale_page(&units);
                    let expected = leaves.map_or("bbbfff", |_| "bbff");
                    assert_eq!(order, expected, "not begun on all units first");
                });
            }
        }
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
                unmap!(domain, table);
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
    a_unit_that_is_added_is_flushed: domain, joins;
    a_unit_that_is_added_unpublished_is_noticed: domain_added_unpublished, "reachable after the flush";
}

laws! {
    units_of_a_domain_are_flushed_while_others_change: domain, changes;
    an_id_that_is_published_for_another_unit_is_noticed: domain_published_for_another, "reachable after the flush";
}

laws! {
    a_flush_of_a_domain_reaches_each_unit_with_devices: domain, orders;
    a_unit_that_stays_published_is_noticed: domain_never_withdrawn, "not begun on all units first";
}
