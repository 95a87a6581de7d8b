// SPDX-License-Identifier: GPL-2.0

//! The list of all paging domains, for reports.
//!
//! A domain is in the list from its creation until the core frees it. Each domain has its own
//! counters. When a domain is freed, its counts are added to the sums of its primary unit.

use super::counters::MapCounts;
use super::flush_list::Units;
use crate::unit::Unit;
use kernel::prelude::*;
use kernel::sync::{new_mutex, Arc, Mutex};

/// An entry of the list: what the list needs of a domain.
pub(crate) trait Listed {
    /// Returns its number, which no other domain has or had.
    fn number(&self) -> u64;

    /// Returns the unit of the device for which it was allocated.
    fn primary_unit(&self) -> &Arc<Unit>;

    /// Returns how much was mapped and unmapped in it.
    fn mapped(&self) -> MapCounts;
}

/// The list of all paging domains.
#[pin_data]
pub(crate) struct Domains<D> {
    /// All units of the machine.
    units: Units,
    #[pin]
    lists: Mutex<DomainLists<D>>,
}

struct DomainLists<D> {
    /// The domains, sorted by number. A user can create many, so the list must not need physically
    /// contiguous memory.
    live: KVVec<Arc<D>>,
    /// The sums of the counts of freed domains, for each primary unit.
    freed: KVec<(Arc<Unit>, MapCounts)>,
    /// The number of the latest domain.
    last: u64,
}

impl<D: Listed> DomainLists<D> {
    /// Returns the index of the first domain whose number is at least `number`.
    fn index_of(&self, number: u64) -> usize {
        self.live.partition_point(|one| one.number() < number)
    }
}

impl<D: Listed> Domains<D> {
    /// Creates an empty list, for a machine with these `units`.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(crate) fn new(units: KVec<Arc<Unit>>) -> Result<Arc<Self>> {
        let units = Arc::new(units, GFP_KERNEL)?;
        let lists = DomainLists {
            live: KVVec::new(),
            freed: KVec::new(),
            last: 0,
        };
        Arc::pin_init(
            pin_init!(Self {
                units,
                lists <- new_mutex!(lists, "vtd domains"),
            }),
            GFP_KERNEL,
        )
    }

    /// Returns all units of the machine.
    pub(super) fn units(&self) -> &Units {
        &self.units
    }

    /// Returns an unused number for a new domain. Numbers are never reused.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(super) fn alloc_number(&self) -> u64 {
        let mut lists = self.lists.lock();
        lists.last += 1;
        lists.last
    }

    /// Adds a domain.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(super) fn add(&self, domain: &Arc<D>) -> Result {
        let mut lists = self.lists.lock();
        let primary_unit = domain.primary_unit();
        // Reserve the place for its counts now, so that `remove` cannot fail.
        if !lists
            .freed
            .iter()
            .any(|(unit, _)| Arc::ptr_eq(unit, primary_unit))
        {
            lists
                .freed
                .push((primary_unit.clone(), MapCounts::default()), GFP_KERNEL)?;
        }
        let at = lists.index_of(domain.number());
        lists.live.reserve(1, GFP_KERNEL)?;
        let _ = lists.live.insert_within_capacity(at, domain.clone());
        Ok(())
    }

    /// Removes a domain that the core frees.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(super) fn remove(&self, domain: &Arc<D>) {
        let mut lists = self.lists.lock();
        let at = lists.index_of(domain.number());
        let is_there = |one: &Arc<D>| Arc::ptr_eq(one, domain);
        let freed = if lists.live.get(at).is_some_and(is_there) {
            lists.live.remove(at).ok()
        } else {
            None
        };
        let Some(domain) = &freed else {
            return;
        };
        let sums = lists
            .freed
            .iter_mut()
            .find(|(unit, _)| Arc::ptr_eq(unit, domain.primary_unit()));
        if let Some((_, mapped)) = sums {
            mapped.add(domain.mapped());
        }
        drop(lists);
    }

    /// Returns the first domain whose number is at least `number`.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn first_from(&self, number: u64) -> Option<Arc<D>> {
        let lists = self.lists.lock();
        lists.live.get(lists.index_of(number)).cloned()
    }

    /// Returns the sum of `what` over all domains; [`None`] if the list is in use.
    ///
    /// # Context
    ///
    /// May sleep, but waits for no lock. `what` must not allocate memory, nor sleep.
    pub(super) fn try_sum(&self, what: impl Fn(&D) -> usize) -> Option<usize> {
        let lists = self.lists.try_lock()?;
        Some(lists.live.iter().map(|domain| what(domain)).sum())
    }

    /// Returns how much was mapped and unmapped in all domains with the primary unit `unit`, freed
    /// ones included.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn mapped_for(&self, unit: &Unit) -> MapCounts {
        let lists = self.lists.lock();
        let mut sum = MapCounts::default();
        for (_, freed) in lists
            .freed
            .iter()
            .filter(|(of, _)| core::ptr::eq(&**of, unit))
        {
            sum.add(*freed);
        }
        for domain in lists.live.iter() {
            if core::ptr::eq(&**domain.primary_unit(), unit) {
                sum.add(domain.mapped());
            }
        }
        sum
    }
}
