// SPDX-License-Identifier: GPL-2.0

//! Devices behind several units are attached to a domain and detached while a page is unmapped, with
//! the domain's list of units. `flush_list.rs` has the flush alone.

use crate::concurrent::attachments;
use crate::flush_list::Machine;
use crate::lockless::flush_list::{FlushList, PublishedTag};
use crate::shim::lock::IrqSpinLock;
use crate::shim::prelude::{Error, KVec, Result};
use crate::shim::unit::{events, AllocatedDomainId, Unit};
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use vtd_core::invalidation::{CacheTag, InvalidationRange};
use vtd_core::spec::address::{DomainId, Iova};
use vtd_core::spec::level::Stage;

/// The units of one domain, with a list of `E`.
pub(crate) struct Domain<E> {
    pub(crate) flush_list: FlushList<Machine<PublishedTag>>,
    pub(crate) retained: AtomicBool,
    pub(crate) list: IrqSpinLock<KVec<E>>,
}

/// Uses each version of the file with [`Domain`].
macro_rules! domains {
    ($($module:ident)+) => {$(
        impl $module::AttachmentVec for KVec<$module::Attachment<Arc<AllocatedDomainId>>> {
            type Id = Arc<AllocatedDomainId>;
            type Error = Error;

            fn with_capacity(capacity: usize) -> Result<Self> {
                KVec::with_capacity(capacity, ())
            }

            fn capacity(&self) -> usize {
                self.capacity()
            }

            fn push(&mut self, entry: $module::Attachment<Arc<AllocatedDomainId>>) {
                let added = self.push_within_capacity(entry);
                assert!(added.is_ok(), "no room");
            }

            fn remove(&mut self, at: usize) {
                self.remove(at).unwrap();
            }

            fn move_to(&mut self, other: &mut Self) {
                for entry in self.drain_all() {
                    assert!(other.push_within_capacity(entry).is_ok(), "no room");
                }
            }
        }

        impl $module::AttachedUnits for Domain<$module::Attachment<Arc<AllocatedDomainId>>> {
            type List = KVec<$module::Attachment<Arc<AllocatedDomainId>>>;
            type Units = Machine<PublishedTag>;

            fn flush_list(&self) -> &FlushList<Self::Units> {
                &self.flush_list
            }

            fn locked<R>(&self, work: impl FnOnce(&mut Self::List) -> R) -> R {
                self.list.with(work)
            }

            fn units_are_retained(&self) -> bool {
                self.retained.load(Ordering::Relaxed)
            }

            fn unit(id: &Arc<AllocatedDomainId>) -> &Unit {
                id.unit()
            }

            fn number(id: &Arc<AllocatedDomainId>) -> DomainId {
                id.id()
            }

            fn tag(&self, id: DomainId) -> CacheTag {
                CacheTag::of_requester_ids(Stage::Second, id)
            }
        }
    )+};
}
pub(crate) use domains;

mistakes! {
    attachments_added_unpublished attachments_not_published attachments_never_withdrawn
    attachments_published_for_another attachments_not_retained attachments_unit_not_retained
}

domains! {
    attachments
    attachments_added_unpublished attachments_not_published attachments_never_withdrawn
    attachments_published_for_another attachments_not_retained attachments_unit_not_retained
}

/// Makes the list of a domain that was allocated for the first unit of the machine.
macro_rules! new_domain {
    ($module:ident, $units:expr) => {
        Arc::new(crate::attachments::Domain::<
            $module::Attachment<Arc<crate::shim::unit::AllocatedDomainId>>,
        > {
            flush_list: crate::lockless::flush_list::FlushList::new(crate::flush_list::machine(
                &$units,
            )),
            retained: loom::sync::atomic::AtomicBool::new(false),
            list: crate::shim::lock::new(crate::shim::prelude::KVec::new(), c"list"),
        })
    };
}
pub(crate) use new_domain;

/// Adds a device behind a unit.
macro_rules! attach {
    ($module:ident, $domain:expr, $unit:expr, $retained:expr) => {
        $module::AttachedUnits::join(&*$domain, $unit, $retained, || {
            crate::shim::unit::AllocatedDomainId::allocate($unit)
        })
    };
}
pub(crate) use attach;

/// Removes a device behind a unit.
macro_rules! detach {
    ($module:ident, $domain:expr, $unit:expr) => {
        $module::AttachedUnits::leave(&*$domain, $unit)
    };
}
pub(crate) use detach;

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
    ($module:ident, $domain:expr, $unit:expr) => {{
        let joined = attach!($module, $domain, $unit, None);
        // The context entry is written.
        $unit.walk();
        joined.unwrap().unwrap()
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
            let domain = new_domain!($module, units);
            let joining = {
                let (domain, unit) = (domain.clone(), units[$joining].clone());
                loom::thread::spawn(move || {
                    join!($module, domain, &unit);
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
            let domain = new_domain!($module, units);
            join!($module, domain, &units[$stays]);
            join!($module, domain, &units[$leaves]);
            let changing = {
                let (domain, units) = (domain.clone(), units.clone());
                loom::thread::spawn(move || {
                    // The context entry is removed, and the caches are invalidated.
                    units[$leaves].invalidate_all();
                    detach!($module, domain, &units[$leaves]);
                    join!($module, domain, &units[$joins]);
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
                    let domain = new_domain!($module, units);
                    for at in 0..3 {
                        join!($module, domain, &units[(first + at) % 3]);
                    }
                    if let Some(at) = leaves {
                        units[at].invalidate_all();
                        detach!($module, domain, &units[at]);
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
                let domain = new_domain!($module, units);
                domain.retained.store(kernels, Ordering::Relaxed);
                let id = attach!($module, domain, unit, None).unwrap();
                let share = detach!($module, domain, unit);
                unit.fill();
                // Only a user's domain needs the retained domain-id.
                let retained_id = share.filter(|_| !kernels);
                let again = attach!($module, domain, unit, retained_id);
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
    a_detached_device_can_return: attachments, returns_after_detach;
    an_id_that_is_not_retained_is_noticed: attachments_not_retained, "cannot be attached again";
    a_unit_that_is_not_published_again_is_noticed: attachments_not_published, "reachable after the flush";
    a_unit_that_is_not_retained_is_noticed: attachments_unit_not_retained, "cannot be attached again";
}

laws! {
    a_unit_that_is_added_is_flushed: attachments, joins;
    a_unit_that_is_added_unpublished_is_noticed: attachments_added_unpublished, "reachable after the flush";
}

laws! {
    units_of_a_domain_are_flushed_while_others_change: attachments, changes;
    an_id_that_is_published_for_another_unit_is_noticed: attachments_published_for_another, "reachable after the flush";
}

laws! {
    a_flush_of_a_domain_reaches_each_unit_with_devices: attachments, orders;
    a_unit_that_stays_published_is_noticed: attachments_never_withdrawn, "not begun on all units first";
}
